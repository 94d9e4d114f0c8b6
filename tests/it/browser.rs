//! The pages in a real browser: `tests/browser/run` does it, this only says so.

use std::process::Command;

#[test]
#[ignore = "needs a browser: tests/browser/run gets one and runs them"]
fn the_pages_do_what_people_expect() {
    let run = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/run");
    let ended = Command::new(run).arg(env!("CARGO_BIN_EXE_flowlord")).status().unwrap();
    assert!(ended.success(), "{ended}");
}
