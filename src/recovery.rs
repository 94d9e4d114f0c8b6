//! What is said after a snapshot took the place of the database.

use chrono::{DateTime, SecondsFormat, Utc};
use flowlord_db::Recovered;

/// One sentence for each thing that a person must know: what was restored, what is missing, what is kept.
pub(crate) fn text(recovered: &Recovered, now: DateTime<Utc>) -> String {
    let Recovered { restored, why } = recovered;
    let begun = match why {
        Some(why) => format!("the database didn't open ({why}); "),
        None => "there was no database; ".to_owned(),
    };
    let utc = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let newest = restored.newest.map_or_else(|| "none".to_owned(), utc);
    let kept = restored.moved_to.as_ref().map(|path| format!("; the old one is kept as {}", path.display()));
    format!(
        "{begun}{} was restored: its newest task is {newest}, what happened from then to {} is missing{}",
        restored.from.display(),
        utc(now),
        kept.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use flowlord_db::Restored;

    use super::*;

    #[test]
    fn it_names_what_is_missing_and_what_is_kept() {
        let at = |text: &str| text.parse().unwrap();
        let restored = Restored {
            from: "/b/one.db".into(),
            newest: Some(at("2026-03-01T11:00:00Z")),
            moved_to: Some("/d/flowlord.db.aside".into()),
        };
        let recovered = Recovered { restored: restored.clone(), why: Some("disk image is malformed".into()) };
        assert_eq!(
            text(&recovered, at("2026-03-01T12:00:00Z")),
            "the database didn't open (disk image is malformed); /b/one.db was restored: its newest task is \
             2026-03-01T11:00:00Z, what happened from then to 2026-03-01T12:00:00Z is missing; the old one is kept \
             as /d/flowlord.db.aside"
        );
        let fresh = Recovered { restored: Restored { newest: None, moved_to: None, ..restored }, why: None };
        let said = text(&fresh, at("2026-03-01T12:00:00Z"));
        assert!(said.starts_with("there was no database; /b/one.db was restored: its newest task is none"));
    }
}
