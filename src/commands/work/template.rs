//! What a task is to the command that works on it: arguments, environment, input.

use flowlord_domain::query::Query;

use super::client::GrantedTask;

#[derive(Debug, Clone)]
pub(super) struct CommandTask {
    json: String,
    topic: String,
    job: String,
    info: String,
    meta_text: String,
    meta: Query,
    id: String,
    uid: String,
    created: String,
    attempt: u32,
    lease: String,
}

impl CommandTask {
    pub(super) fn new(granted: &GrantedTask) -> Self {
        let meta_text = granted.text("meta");
        Self {
            json: granted.task.to_string(),
            topic: granted.text("type").to_owned(),
            job: granted.text("job").to_owned(),
            info: granted.text("info").to_owned(),
            meta: Query::parse_lenient(meta_text),
            meta_text: meta_text.to_owned(),
            id: granted.text("id").to_owned(),
            uid: granted.text("uid").to_owned(),
            created: granted.text("created").to_owned(),
            attempt: granted.attempt,
            lease: granted.lease.clone(),
        }
    }

    pub(super) fn name(&self) -> String {
        if self.job.is_empty() { self.topic.clone() } else { format!("{}:{}", self.topic, self.job) }
    }

    pub(super) fn json(&self) -> &str {
        &self.json
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
            "info" => &self.info,
            "job" => &self.job,
            "type" | "topic" => &self.topic,
            "meta" => &self.meta_text,
            "id" => &self.id,
            "uid" => &self.uid,
            // Empty where the task hasn't it: a command can test for that, and not for its own braces.
            name => self.meta.first_value(name.strip_prefix("meta:")?).unwrap_or_default(),
        })
    }

    pub(super) fn variables(&self, worker: &str) -> Vec<(String, String)> {
        let attempt = self.attempt.to_string();
        let own = [
            ("TYPE", self.topic.as_str()),
            ("JOB", &self.job),
            ("INFO", &self.info),
            ("META", &self.meta_text),
            ("ID", &self.id),
            ("UID", &self.uid),
            ("CREATED", &self.created),
            ("ATTEMPT", &attempt),
            ("LEASE", &self.lease),
            ("WORKER", worker),
        ];
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
        // The first of a repeated key counts, as everywhere: it is set last.
        let pairs: Vec<_> = self.meta.pairs().collect();
        let meta = pairs.into_iter().rev().map(|(key, value)| (format!("META_{}", variable(key)), value));
        own.chain(meta).map(|(name, value)| (format!("FLOWLORD_{name}"), value.to_owned())).collect()
    }
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
