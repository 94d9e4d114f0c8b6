//! Alerts as JSON.

use flowlord_messages::read::StoredAlert;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::time::Stamp;

/// An alert; what it has nothing to say about is left out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AlertView<'a>(pub(crate) &'a StoredAlert);

impl Serialize for AlertView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let alert = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("alert", &alert.row)?;
        map.serialize_entry("kind", alert.kind.as_str())?;
        map.serialize_entry("at", &Stamp(alert.at))?;
        if let Some(uid) = &alert.uid {
            map.serialize_entry("uid", uid)?;
        }
        let texts = [
            ("id", &alert.id),
            ("type", &alert.topic),
            ("job", &alert.job),
            ("workflow", &alert.workflow),
            ("msg", &alert.msg),
        ];
        for (name, text) in texts {
            if !text.is_empty() {
                map.serialize_entry(name, text)?;
            }
        }
        if let Some(at) = alert.task_time {
            map.serialize_entry("task_time", &Stamp(at))?;
        }
        map.serialize_entry("at_once", &alert.at_once)?;
        map.end()
    }
}
