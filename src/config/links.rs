//! `[links]`: from the page of each task to other systems.

use flowlord_domain::task_link::TaskLink;

use super::keys::{LINK_KEY, LINKS};
use super::print::EffectiveValue;
use super::read::ValueReader;

pub(super) fn read(from: &mut ValueReader) -> Vec<TaskLink> {
    let mut links = Vec::new();
    for name in from.names_in(LINKS) {
        let key = key_of(&name);
        match TaskLink::parse(&name, &from.text(&key)) {
            Ok(link) => links.push(link),
            Err(what) => from.error(&key, &what),
        }
    }
    links
}

pub(super) fn effective_values(links: &[TaskLink], reader: &ValueReader) -> Vec<EffectiveValue> {
    let keys = links.iter().map(|link| key_of(link.name()));
    keys.map(|key| EffectiveValue::new(&LINK_KEY, key.clone(), reader.text(&key), reader.source(&key))).collect()
}

fn key_of(name: &str) -> String {
    format!("{LINKS}.{name}")
}
