//! The buttons under an incident's message, and the clicks on them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use url::Url;

const MAX_NAME_CHARS: usize = 80;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IncidentButton {
    Acknowledge,
    Silence(u8),
    /// Failed tasks are tried once more.
    Rerun,
}

impl IncidentButton {
    pub(crate) const ALL: [Self; 4] = [Self::Acknowledge, Self::Silence(1), Self::Silence(4), Self::Rerun];

    /// The action id, by which Slack names it.
    pub(crate) fn action_id(self) -> &'static str {
        self.id_and_label().0
    }

    pub(crate) fn label(self) -> &'static str {
        self.id_and_label().1
    }

    fn id_and_label(self) -> (&'static str, &'static str) {
        match self {
            Self::Acknowledge => ("acknowledge", "Acknowledge"),
            Self::Silence(1) => ("silence_1h", "Silence 1h"),
            Self::Silence(_) => ("silence_4h", "Silence 4h"),
            Self::Rerun => ("rerun", "Rerun failed"),
        }
    }
}

/// The incident that a button belongs to: the value that Slack gives back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IncidentTarget {
    pub(crate) route: String,
    pub(crate) opened: DateTime<Utc>,
}

impl IncidentTarget {
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ButtonClick {
    pub(crate) button: IncidentButton,
    pub(crate) target: IncidentTarget,
    /// Who, as people know them.
    pub(crate) by: String,
    /// The click's own id: Slack may tell of it twice.
    pub(crate) id: String,
    /// Where the person alone can be told something.
    pub(crate) response_url: Option<Url>,
}

/// The fields of an interaction payload that count here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InteractionFields {
    r#type: String,
    user: SlackUser,
    actions: Vec<BlockAction>,
    response_url: Option<Url>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SlackUser {
    id: String,
    username: String,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct BlockAction {
    action_id: String,
    value: String,
    action_ts: String,
}

impl ButtonClick {
    /// Reads an interaction payload; none where it is nothing of ours, like a click on a link.
    pub(crate) fn from_payload(payload: &str) -> Result<Option<Self>, serde_json::Error> {
        let fields: InteractionFields = serde_json::from_str(payload)?;
        let pressed = fields.actions.iter().find_map(|action| {
            let button = IncidentButton::ALL.into_iter().find(|button| button.action_id() == action.action_id)?;
            Some((button, action))
        });
        let Some((button, action)) = pressed.filter(|_| fields.r#type == "block_actions") else {
            return Ok(None);
        };
        let target = serde_json::from_str(&action.value)?;
        let names = [&fields.user.name, &fields.user.username, &fields.user.id];
        let by = names.into_iter().find(|name| !name.trim().is_empty()).map_or("somebody", String::as_str);
        let by = by.chars().take(MAX_NAME_CHARS).collect();
        let id = format!("{}/{}/{}", button.action_id(), fields.user.id, action.action_ts);
        Ok(Some(Self { button, target, by, id, response_url: fields.response_url }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn target() -> IncidentTarget {
        IncidentTarget { route: "default".to_owned(), opened: "2026-03-02T12:00:00.000001Z".parse().unwrap() }
    }

    fn told(action: &str, value: &str) -> String {
        json!({
            "type": "block_actions",
            "user": {"id": "U1", "username": "ann", "name": "Ann", "team_id": "T1"},
            "actions": [{"action_id": action, "value": value, "action_ts": "1.5", "block_id": "x"}],
            "response_url": "https://hooks.slack.com/actions/x",
        })
        .to_string()
    }

    #[test]
    fn each_button_is_read_back() {
        for button in IncidentButton::ALL {
            let click = ButtonClick::from_payload(&told(button.action_id(), &target().to_json())).unwrap().unwrap();
            assert_eq!((click.button, &click.target), (button, &target()));
            assert_eq!((click.by.as_str(), click.id), ("Ann", format!("{}/U1/1.5", button.action_id())));
            assert!(click.response_url.is_some());
        }
    }

    #[test]
    fn what_is_not_ours_is_nothing() {
        assert_eq!(ButtonClick::from_payload(&told("open", "")).unwrap(), None);
        assert_eq!(ButtonClick::from_payload("{\"type\": \"view_submission\"}").unwrap(), None);
        let other = told("acknowledge", &target().to_json()).replace("block_actions", "shortcut");
        assert_eq!(ButtonClick::from_payload(&other).unwrap(), None);
        for unreadable in ["", "1", &told("acknowledge", "x"), &told("acknowledge", "{}")] {
            assert!(ButtonClick::from_payload(unreadable).is_err(), "{unreadable}");
        }
    }

    #[test]
    fn whoever_has_no_name_has_an_id() {
        let nameless = told("acknowledge", &target().to_json()).replace("\"Ann\"", "\" \"").replace("\"ann\"", "\"\"");
        assert_eq!(ButtonClick::from_payload(&nameless).unwrap().unwrap().by, "U1");
    }
}
