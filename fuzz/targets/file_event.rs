//! Events about files: what is read names a file and reads back, in a push as well; a pattern takes what it says; a
//! file becomes at most one task, about itself. Up to the first tab it is a pattern, then an event.

#![no_main]

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono_tz::Tz;
use flowlord_domain::file_event::{EventHeaders, FileArrival, FileEvent, parse_file_events};
use flowlord_domain::file_match::{FileEffect, files_per_task, match_phases};
use flowlord_domain::glob::Glob;
use flowlord_domain::query::Query;
use flowlord_domain::workflow::{WorkflowFile, Workflows};
use flowlord_fuzz::{Counted, instant};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|byte| *byte == b'\t').unwrap_or(data.len());
    let (pattern, event) = (String::from_utf8_lossy(&data[..end]), data.get(end + 1..).unwrap_or_default());
    let Ok(arrivals) = parse_file_events(event, &EventHeaders::default()) else { return };
    for arrival in &arrivals {
        let file = match arrival {
            FileArrival::File(file) => file,
            FileArrival::Ignored { file, why } => {
                assert!(!why.is_empty());
                file
            }
        };
        reads_back(file);
        pattern_says_so(&pattern, &file.path);
        becomes_a_task(&pattern, &file.path);
    }
    // Elsewhere the envelope says more.
    if let [arrival] = &arrivals[..] {
        pushed(event, arrival);
    }
});

/// As it is stored.
fn reads_back(file: &FileEvent) {
    assert!(!file.path.is_empty() && file.path.len() <= 4_096, "{file:?}");
    let text = serde_json::to_string(file).expect("it is written");
    let back: FileEvent = serde_json::from_str(&text).expect("what was written reads");
    assert_eq!(FileEvent { version: file.version.clone(), ..back }, *file);
    let _ = (file.created_at(), file.time_of_path());
}

/// Pub/Sub delivers it like this: the same file comes out.
fn pushed(event: &[u8], arrival: &FileArrival) {
    let FileArrival::File(file) = arrival else { return };
    let is_push = serde_json::from_slice::<serde_json::Value>(event)
        .is_ok_and(|value| value.as_object().is_some_and(|o| o.keys().any(|key| key.eq_ignore_ascii_case("message"))));
    // A record's own message id counts before that of the push.
    let is_carried = ["message ", "event "].iter().any(|start| file.version.starts_with(start));
    if is_push || is_carried {
        return;
    }
    let push = json!({"message": {"data": STANDARD.encode(event), "messageId": "7"}}).to_string();
    // The envelope may be one too many.
    let Ok(out) = parse_file_events(push.as_bytes(), &EventHeaders::default()) else { return };
    let [FileArrival::File(out)] = &out[..] else { panic!("{push}") };
    let version = if file.version.is_empty() { "message 7".to_owned() } else { file.version.clone() };
    assert_eq!(*out, FileEvent { version, ..file.clone() });
}

fn pattern_says_so(pattern: &str, path: &str) {
    let literal: String = path.chars().flat_map(|c| ['\\', c]).collect();
    assert!(Glob::parse(&literal).expect("all is escaped").matches(path), "{path:?}");
    let Ok(glob) = Glob::parse(pattern) else { return };
    let fits = glob.matches(path);
    // Kept short: what checks it tries everything.
    let plain = !pattern.contains(['[', '\\']) && pattern.matches('*').count() <= 4;
    if plain && path.len() <= 64 {
        let (pattern, path): (Vec<char>, Vec<char>) = (pattern.chars().collect(), path.chars().collect());
        assert_eq!(fits, slowly(&pattern, &path), "{pattern:?} {path:?}");
    }
}

fn slowly(pattern: &[char], path: &[char]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some(('*', rest)), _) => {
            slowly(rest, path) || path.split_first().is_some_and(|(c, more)| *c != '/' && slowly(pattern, more))
        }
        (Some((wanted, rest)), Some((c, more))) => {
            (if *wanted == '?' { *c != '/' } else { wanted == c }) && slowly(rest, more)
        }
        _ => false,
    }
}

fn becomes_a_task(pattern: &str, path: &str) {
    // A rule with control characters is refused as a whole.
    if pattern.bytes().any(|byte| byte.is_ascii_control()) {
        return;
    }
    let mut rule = Query::default();
    rule.push_pair("files", pattern);
    rule.push_pair("count", "2");
    // A TOML text of that name: written so that it reads back.
    let rule = serde_json::to_string(&rule.to_text()).expect("a text is written");
    let toml = format!("[[phase]]\ntask = \"t\"\nrule = {rule}\ntemplate = \"{{meta:file}}\"\n");
    let Ok(read) = WorkflowFile::parse("w.toml", &toml, "", Tz::UTC) else { return };
    let workflows = Workflows::new([Arc::new(read)]);
    let found = match_phases(&workflows, path);
    assert!(found.len() <= 1);
    let Some(found) = found.first() else { return };
    assert_eq!(files_per_task(&found.phase.rule), 2);
    let (now, mut ids) = (instant([7, 7, 7, 7]), Counted::default());
    assert_eq!(found.effect_of_file(path, &[], "host", &mut ids, now), Ok(FileEffect::Wait));
    assert_eq!(found.effect_of_file(path, &[path.to_owned()], "host", &mut ids, now), Ok(FileEffect::Waits));
    let other = format!("{path},");
    let started = found.effect_of_file(path, &[other], "host", &mut ids, now);
    let Ok(FileEffect::Start(task)) = started else { panic!("{started:?}") };
    let meta = Query::parse(&task.meta).expect("a task's meta reads");
    assert_eq!(
        (meta.first_value("file"), meta.first_value("count"), task.info.as_str()),
        (Some(path), Some("2"), path)
    );
    assert_eq!(meta.first_value("files").map(|files| files.split(',').count()), Some(2));
}
