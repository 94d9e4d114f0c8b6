//! Task JSON: what is read is written so that it reads back, on one line and on several.

#![no_main]

use flowlord_domain::task_doc::{TaskDoc, parse_time, read_json, time_text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(doc) = read_json::<TaskDoc>(bytes) {
        reads_back(&doc);
    }
    if let Ok(docs) = read_json::<Vec<TaskDoc>>(bytes) {
        docs.iter().for_each(reads_back);
    }
});

fn reads_back(doc: &TaskDoc) {
    let line = doc.to_json();
    assert!(!line.contains('\n'));
    assert_eq!(&TaskDoc::parse(&line).expect("one line reads"), doc);
    assert_eq!(&TaskDoc::parse(&doc.to_pretty_json()).expect("several lines read"), doc);
    if let Some(uid) = doc.uid() {
        assert_eq!(uid.to_string().parse(), Ok(uid), "{doc:?}");
    }
    if let Ok(Some(result)) = doc.parsed_result() {
        assert_eq!(result.as_str(), doc.result);
    }
    for text in [&doc.created, &doc.started, &doc.ended, &doc.not_before] {
        if let Ok(time) = parse_time(text) {
            // Times are written in whole seconds.
            let written = parse_time(&time_text(time)).expect("a time reads");
            assert_eq!(written.timestamp(), time.timestamp(), "{text}");
        }
    }
}
