//! What a task is to the command that works on it: arguments, environment, input.

use flowlord_domain::query::Query;
use flowlord_domain::summary::line_key;

use super::client::GrantedTask;

#[derive(Debug, Clone)]
pub(super) struct CommandTask {
    granted: GrantedTask,
    meta: Query,
}

impl CommandTask {
    pub(super) fn new(granted: &GrantedTask) -> Self {
        Self { granted: granted.clone(), meta: Query::parse_lenient(granted.text("meta")) }
    }

    pub(super) fn granted(&self) -> &GrantedTask {
        &self.granted
    }

    pub(super) fn name(&self) -> String {
        line_key(self.granted.text("type"), self.granted.text("job"))
    }

    pub(super) fn json(&self) -> String {
        self.granted.task.to_string()
    }

    /// An argument with its tokens replaced, once: what a value holds is no token. Anything else in braces stays.
    pub(super) fn render(&self, argument: &str) -> String {
        let mut out = String::with_capacity(argument.len());
        let mut rest = argument;
        while let Some(start) = rest.find('{') {
            out.push_str(&rest[..start]);
            let tail = &rest[start..];
            let token = tail.find('}').and_then(|end| Some((self.token(&tail[1..end])?, end + 1)));
            let (value, length) = token.unwrap_or(("{", 1));
            out.push_str(value);
            rest = &tail[length..];
        }
        out + rest
    }

    fn token(&self, name: &str) -> Option<&str> {
        Some(match name {
            "info" | "job" | "type" | "meta" | "id" | "uid" => self.granted.text(name),
            "topic" => self.granted.text("type"),
            // Empty where the task hasn't it: a command can test for that, and not for its own braces.
            name => self.meta.first_value(name.strip_prefix("meta:")?).unwrap_or_default(),
        })
    }

    pub(super) fn variables(&self, worker: &str) -> Vec<(String, String)> {
        let attempt = self.granted.attempt.to_string();
        let fields = ["type", "job", "info", "meta", "id", "uid", "created"];
        let fields = fields.map(|name| (name.to_ascii_uppercase(), self.granted.text(name)));
        let own = [("ATTEMPT", attempt.as_str()), ("LEASE", &self.granted.lease), ("WORKER", worker)];
        let own = fields.into_iter().chain(own.map(|(name, value)| (name.to_owned(), value)));
        // The first of a repeated key counts, as everywhere: it is set last.
        let pairs: Vec<_> = self.meta.pairs().collect();
        let meta = pairs.into_iter().rev().map(|(key, value)| (format!("META_{}", variable(key)), value));
        own.chain(meta).map(|(name, value)| (format!("FLOWLORD_{name}"), value.to_owned())).collect()
    }
}

/// Whether a task's values would be put into an argument.
pub(super) fn has_token(argument: &str) -> bool {
    let none = GrantedTask { lease: String::new(), attempt: 0, task: serde_json::Value::Null };
    CommandTask::new(&none).render(argument) != argument
}

fn variable(key: &str) -> String {
    key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn view() -> CommandTask {
        let task = json!({
            "type": "load", "job": "hour", "info": "?date=2024-01-15T05", "id": "c1", "uid": "u1",
            "meta": "file=s3://b/{job}.gz&in-file=a%26b&file=second", "created": "2024-01-15T06:00:00Z",
        });
        CommandTask::new(&GrantedTask { lease: "u1-s".into(), attempt: 2, task })
    }

    #[test]
    fn tokens_of_arguments_are_replaced_once() {
        let cases = [
            ("{info}", "?date=2024-01-15T05"),
            ("--job={job}/{type}", "--job=hour/load"),
            ("{meta:file}", "s3://b/{job}.gz"),
            ("{meta:in-file}", "a&b"),
            ("{meta:none}x", "x"),
            ("{other} {", "{other} {"),
            ("{{job}}", "{hour}"),
        ];
        for (argument, rendered) in cases {
            assert_eq!(view().render(argument), rendered, "{argument}");
            assert_eq!(has_token(argument), argument != rendered, "{argument}");
        }
    }

    #[test]
    fn variables_name_the_task_and_its_meta() {
        let variables = view().variables("w1");
        let value = |name: &str| {
            let found = variables.iter().rev().find(|(n, _)| n == name);
            found.map(|(_, value)| value.as_str())
        };
        assert_eq!(value("FLOWLORD_INFO"), Some("?date=2024-01-15T05"));
        assert_eq!(value("FLOWLORD_ATTEMPT"), Some("2"));
        assert_eq!(value("FLOWLORD_META_IN_FILE"), Some("a&b"));
        assert_eq!(value("FLOWLORD_META_FILE"), Some("s3://b/{job}.gz"));
        assert!(view().json().contains("\"uid\":\"u1\""));
    }
}
