//! The form of a backload: what was filled in, and the request that it makes.

use std::collections::BTreeMap;

use flowlord_domain::backload::{BackloadRequest, MetaLists, MetaValues, TaskSelection};
use flowlord_domain::query::Query;
use flowlord_web_core::problem::Problem;
use serde::Serializer as _;
use serde_json::json;

/// What the names of fields for keys of meta begin with.
const META: &str = "meta.";

pub(super) struct BackloadForm {
    pub(super) task: String,
    pub(super) workflow: String,
    pub(super) one_time: bool,
    pub(super) at: DayHour,
    pub(super) from: DayHour,
    pub(super) to: DayHour,
    pub(super) by: String,
    pub(super) only: String,
    pub(super) template: String,
    /// Values by the keys of meta that have a field of their own.
    pub(super) keys: BTreeMap<String, String>,
    /// More of them, a line each.
    pub(super) more: String,
    pub(super) meta_file: String,
    /// How many tasks are created in how long at most.
    pub(super) rate: String,
    pub(super) background: bool,
    pub(super) preview: bool,
}

pub(super) struct DayHour {
    pub(super) day: String,
    pub(super) hour: String,
}

impl DayHour {
    fn read(query: &Query, name: &str) -> Self {
        let text = query.first_value(name).unwrap_or_default();
        // A link may have both in one.
        let (day, hour) = text.split_once('T').unwrap_or((text, ""));
        let hour = query.first_value(&format!("{name}-hour")).filter(|hour| !hour.is_empty()).unwrap_or(hour);
        Self { day: day.to_owned(), hour: hour.to_owned() }
    }

    fn text(&self) -> String {
        match (self.day.as_str(), self.hour.as_str()) {
            ("", _) => String::new(),
            (day, "") => day.to_owned(),
            (day, hour) => format!("{day}T{hour}"),
        }
    }
}

impl BackloadForm {
    pub(super) fn read(query: &Query) -> Self {
        let keys = query.pairs().filter_map(|(name, value)| {
            let key = name.strip_prefix(META).filter(|key| !key.is_empty())?;
            Some((key.to_owned(), value.trim().to_owned()))
        });
        let when = field_text(query, "when");
        Self {
            task: field_text(query, "task"),
            workflow: field_text(query, "workflow"),
            // A link may give a time without saying that it is the only one.
            one_time: when == "at" || (when.is_empty() && !field_text(query, "at").is_empty()),
            at: DayHour::read(query, "at"),
            from: DayHour::read(query, "from"),
            to: DayHour::read(query, "to"),
            by: field_text(query, "by"),
            only: field_text(query, "only"),
            template: field_text(query, "template"),
            keys: keys.collect(),
            // Browsers end the lines of a text field with CR LF.
            more: field_text(query, "meta").replace("\r\n", "\n"),
            meta_file: field_text(query, "meta-file"),
            rate: field_text(query, "rate"),
            background: !field_text(query, "background").is_empty(),
            preview: !field_text(query, "preview").is_empty(),
        }
    }

    pub(super) fn request(&self) -> Result<BackloadRequest, Problem> {
        let only = match self.only.as_str() {
            "" | "all" => TaskSelection::All,
            "missing" => TaskSelection::Missing,
            "failed" => TaskSelection::Failed,
            other => {
                return Err(Problem::invalid(format!("only is `{other}`: choose all, missing or failed")));
            }
        };
        let (at, from, to) = match self.one_time {
            true => (self.at.text(), String::new(), String::new()),
            false => (String::new(), self.from.text(), self.to.text()),
        };
        Ok(BackloadRequest {
            task: self.task.clone(),
            workflow: self.workflow.clone(),
            at,
            from,
            to,
            by: self.by.clone(),
            template: self.template.clone(),
            meta: MetaLists(self.meta()?),
            meta_file: self.meta_file.clone(),
            only,
            rate: self.rate.clone(),
            background: self.background,
            ..BackloadRequest::default()
        })
    }

    /// The same, refused where it may not mean what it says.
    pub(super) fn checked_request(&self) -> Result<BackloadRequest, Problem> {
        let request = self.request()?;
        request.refuse_doubtful().map_err(|err| Problem::invalid(err.to_string()))?;
        Ok(request)
    }

    fn meta(&self) -> Result<BTreeMap<String, MetaValues>, Problem> {
        let filled = self.keys.iter().filter(|(_, value)| !value.is_empty());
        let mut meta: BTreeMap<String, MetaValues> = filled.map(|(key, value)| (key.clone(), values(value))).collect();
        for line in self.more.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (key, value) = line.split_once('=').filter(|(key, _)| !key.trim().is_empty()).ok_or_else(|| {
                Problem::invalid(format!("the meta line `{line}` has no key: write it like file=a.csv,b.csv"))
            })?;
            meta.insert(key.trim().to_owned(), values(value.trim()));
        }
        Ok(meta)
    }

    /// The fields, for the button that carries it out.
    pub(super) fn fields(&self) -> Vec<(String, String)> {
        let when = if self.one_time { "at" } else { "range" };
        let texts = [
            ("task", self.task.clone()),
            ("workflow", self.workflow.clone()),
            ("when", when.to_owned()),
            ("at", self.at.text()),
            ("from", self.from.text()),
            ("to", self.to.text()),
            ("by", self.by.clone()),
            ("only", self.only.clone()),
            ("template", self.template.clone()),
            ("meta", self.more.clone()),
            ("meta-file", self.meta_file.clone()),
            ("rate", self.rate.clone()),
            ("background", if self.background { "yes".to_owned() } else { String::new() }),
        ];
        let texts = texts.into_iter().map(|(name, text)| (name.to_owned(), text));
        let keys = self.keys.iter().map(|(key, value)| (format!("{META}{key}"), value.clone()));
        // An empty field means the same as none, and would lengthen the address.
        texts.chain(keys).filter(|(_, text)| !text.is_empty()).collect()
    }
}

fn field_text(query: &Query, name: &str) -> String {
    query.first_value(name).unwrap_or_default().trim().to_owned()
}

/// Values with commas between them are one for each row.
fn values(text: &str) -> MetaValues {
    if text.contains(',') {
        return MetaValues::Many(text.split(',').map(|value| value.trim().to_owned()).collect());
    }
    MetaValues::One(text.to_owned())
}

/// The body that the same asks for over REST, in the order in which people write it.
pub(super) fn rest_body(request: &BackloadRequest) -> String {
    let only = Some(request.only).filter(|only| *only != TaskSelection::All);
    let fields = [
        ("task", json!(request.task)),
        ("workflow", json!(request.workflow)),
        ("at", json!(request.at)),
        ("from", json!(request.from)),
        ("to", json!(request.to)),
        ("by", json!(request.by)),
        ("template", json!(request.template)),
        ("meta", json!(request.meta)),
        ("meta-file", json!(request.meta_file)),
        ("only", json!(only)),
        ("rate", json!(request.rate)),
        ("background", json!(request.background)),
    ];
    // What is left out of a request means the same as these.
    let left_out = [json!(""), json!({}), json!(null), json!(false)];
    let mut body = Vec::new();
    let mut json = serde_json::Serializer::pretty(&mut body);
    match json.collect_map(fields.iter().filter(|(_, value)| !left_out.contains(value)).cloned()) {
        Ok(()) => String::from_utf8(body).unwrap_or_default(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(query: &str) -> BackloadForm {
        BackloadForm::read(&Query::parse(query).unwrap())
    }

    #[test]
    fn what_is_filled_in_becomes_a_request_and_can_be_sent_again() {
        let form = form(
            "task=load:daily&when=range&at=2026-03-09&from=2026-01-01&from-hour=03&to=2026-01-31&to-hour=&by=day\
             &only=missing&rate=100/1m&meta.file=a,+b&meta.empty=&meta=k%3Dv%0D%0Al%3D1,2%0D%0A&preview=1",
        );
        let request = form.request().unwrap();
        assert_eq!(
            (request.from.as_str(), request.to.as_str(), request.at.as_str()),
            ("2026-01-01T03", "2026-01-31", "")
        );
        let many = |texts: [&str; 2]| MetaValues::Many(texts.map(str::to_owned).to_vec());
        let meta = [("file", many(["a", "b"])), ("k", MetaValues::One("v".to_owned())), ("l", many(["1", "2"]))];
        assert_eq!(request.meta.0, meta.map(|(key, value)| (key.to_owned(), value)).into());
        assert_eq!((request.only, request.execute), (TaskSelection::Missing, false));
        insta::assert_snapshot!(rest_body(&request), @r#"
        {
          "task": "load:daily",
          "from": "2026-01-01T03",
          "to": "2026-01-31",
          "by": "day",
          "meta": {
            "file": [
              "a",
              "b"
            ],
            "k": "v",
            "l": [
              "1",
              "2"
            ]
          },
          "only": "missing",
          "rate": "100/1m"
        }
        "#);
        let sent: Query = form.fields().into_iter().collect();
        let again = BackloadForm::read(&Query::parse(&sent.to_text()).unwrap());
        assert_eq!(again.request().unwrap(), request);
    }

    #[test]
    fn one_time_leaves_the_range_out() {
        let request = form("task=a&when=at&at=2026-01-01&at-hour=05&from=2026-01-01").request().unwrap();
        assert_eq!((request.at.as_str(), request.from.as_str()), ("2026-01-01T05", ""));
        assert!(form("task=a&at=2026-01-01T05").one_time);
    }

    #[test]
    fn what_cannot_be_is_told() {
        assert!(form("task=a&only=some").request().unwrap_err().detail().contains("choose all"));
        assert!(form("task=a&meta=novalue").request().unwrap_err().detail().contains("file=a.csv"));
    }
}
