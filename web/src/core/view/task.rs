//! Tasks as JSON, written from what is stored without a copy.

use flowlord_domain::task_doc::AttemptDoc;
use flowlord_domain::{Attempt, CutTexts};
use flowlord_messages::leases::Granted;
use serde::ser::{SerializeMap, SerializeStruct as _};
use serde::{Serialize, Serializer};

use super::time::Stamp;

/// A task in a list or on its own: Task JSON, and where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TaskView<'a>(pub(crate) &'a Attempt);

impl Serialize for TaskView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            #[serde(flatten)]
            doc: AttemptDoc<'a>,
            #[serde(flatten)]
            standing: Standing<'a>,
        }
        Fields { doc: AttemptDoc(self.0), standing: Standing(self.0) }.serialize(serializer)
    }
}

/// What a task in a list has beside Task JSON.
struct Standing<'a>(&'a Attempt);

impl Serialize for Standing<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(task) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("state", task.state.as_str())?;
        map.serialize_entry("attempt", &attempt(task))?;
        map.serialize_entry("delivery", &task.delivery)?;
        some(&mut map, "not_before", task.not_before.map(Stamp).as_ref())?;
        if task.cancelled {
            map.serialize_entry("cancelled", &true)?;
        }
        some(&mut map, "worker", Some(&task.worker).filter(|worker| !worker.is_empty()))?;
        some(&mut map, "lease_expires", task.lease_expires.map(Stamp).as_ref())?;
        some(&mut map, "progress", task.progress.as_ref())?;
        some(&mut map, "parent", task.parent.as_ref())?;
        let CutTexts { info, meta, msg } = task.cut;
        for (name, is_cut) in [("info_truncated", info), ("meta_truncated", meta), ("msg_truncated", msg)] {
            some(&mut map, name, is_cut.then_some(&true))?;
        }
        map.end()
    }
}

fn some<M: SerializeMap, T: Serialize>(
    map: &mut M,
    name: &'static str,
    value: Option<&T>,
) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(name, value))
}

/// Counted from one.
fn attempt(task: &Attempt) -> u32 {
    task.retry.saturating_add(1)
}

/// A task handed out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GrantedView<'a>(pub(crate) &'a Granted);

impl Serialize for GrantedView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(Granted { lease, expires, task }) = self;
        let mut fields = serializer.serialize_struct("Granted", 4)?;
        fields.serialize_field("lease", &format_args!("{lease}"))?;
        fields.serialize_field("expires", &Stamp(*expires))?;
        fields.serialize_field("attempt", &attempt(task))?;
        fields.serialize_field("task", &AttemptDoc(task))?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::stub::{finished, leased};

    #[test]
    fn a_task_in_a_list_has_at_most_2_kb_of_a_text_and_says_which_are_cut() {
        let mut task = finished(2);
        // The limit lies within a character.
        (task.info, task.meta, task.msg) =
            (format!("x{}", "é".repeat(2_000)), "m".repeat(2_048), "m".repeat(2_049));
        let listed = serde_json::to_value(TaskView(&task.clone().listed())).unwrap();
        let lengths = ["info", "meta", "msg"].map(|name| listed[name].as_str().unwrap().len());
        assert_eq!(lengths, [2_047, 2_048, 2_048]);
        assert_eq!((&listed["info_truncated"], &listed["msg_truncated"]), (&true.into(), &true.into()));
        assert!(listed.get("meta_truncated").is_none(), "{listed}");
        let whole = serde_json::to_string(&TaskView(&task)).unwrap();
        assert!(whole.len() > 8_000 && !whole.contains("truncated"));
    }

    #[test]
    fn a_task_says_where_it_stands() {
        insta::assert_snapshot!(serde_json::to_string(&TaskView(&leased(1))).unwrap(), @r#"{"type":"load","job":"daily","info":"?date=2026-03-02","created":"2026-03-02T12:00:00.000001Z","id":"chain-1","meta":"workflow=main.toml","msg":"a quarter","started":"2026-03-02T12:00:00Z","uid":"064c0953867001","state":"leased","attempt":1,"delivery":1,"worker":"w1","lease_expires":"2026-03-02T12:01:00Z","progress":0.25}"#);
        insta::assert_snapshot!(serde_json::to_string(&TaskView(&finished(2))).unwrap(), @r#"{"type":"load","job":"daily","info":"?date=2026-03-02","created":"2026-03-02T12:00:00.000002Z","id":"chain-1","meta":"workflow=main.toml","result":"error","msg":"no disk","started":"2026-03-02T12:00:02Z","ended":"2026-03-02T12:00:05Z","uid":"064c0953867002","state":"done","attempt":2,"delivery":2,"worker":"w1","parent":"064c0953867000"}"#);
    }
}
