//! Clicks in the trail of what people change.

use flowlord_messages::audit::AuditAction;

use super::reruns::failed;
use super::*;

#[actix::test]
async fn a_click_that_was_carried_out_is_in_it() {
    let bench = Bench::start(None, FakeSlack::start()).await;
    bench.post(&bench.click("silence_4h")).await.unwrap();
    let change = AuditRecord {
        at: noon(),
        who: "Ann <x>".to_owned(),
        from: "slack".to_owned(),
        action: AuditAction::Silence,
        what: "silence_4h".to_owned(),
        detail: "default/2026-03-02T12:00:00Z".to_owned(),
        status: 200,
    };
    assert_eq!(bench.others.with(|state| state.changes.clone()), [change]);
    bench.others.with(|state| state.over = true);
    bench.post(&bench.click("acknowledge")).await.unwrap();
    assert_eq!(bench.whispers().len(), 1, "it was in vain");
    assert_eq!(bench.others.with(|state| state.changes.len()), 1, "what was in vain isn't in it");
}

#[actix::test]
async fn a_click_counts_also_where_the_trail_fails() {
    let bench = Bench::start(None, FakeSlack::start()).await;
    bench.others.with(|state| state.trail_broken = true);
    bench.post(&bench.click("acknowledge")).await.unwrap();
    let (acknowledged, changes) = bench.others.with(|state| (state.acknowledged.len(), state.changes.len()));
    assert_eq!((acknowledged, changes), (1, 0));
    assert!(bench.whispers().is_empty(), "the person needn't know");
}

#[actix::test]
async fn what_was_done_is_in_it_also_where_the_message_cannot_be_changed() {
    let bench = Bench::start(None, FakeSlack::start()).await;
    bench.others.with(|state| {
        state.failed = vec![failed("a", "j", "1")];
        state.message_broken = true;
    });
    for (button, ts) in [("rerun", "1.1"), ("silence_1h", "1.2")] {
        bench.post(&bench.click_at(button, ts)).await.unwrap();
        bench.pass(1).await;
        bench.post(&bench.click_at(button, ts)).await.unwrap();
    }
    let (changes, again) = bench.others.with(|state| (state.changes.clone(), state.again.len()));
    let what: Vec<_> = changes.iter().map(|change| change.what.as_str()).collect();
    assert_eq!((what, again), (vec!["rerun", "silence_1h"], 1), "each once, also when it is clicked again");
    let whispers = bench.whispers();
    let said = "Rerun failed is done (1 task rerun by Ann &lt;x&gt;), but the message couldn't be changed: planned";
    assert_eq!((whispers.len(), whispers[0].as_str()), (2, said));
}

#[actix::test]
async fn silences_of_which_only_some_hold_are_in_it() {
    let bench = Bench::start(None, FakeSlack::start()).await;
    bench.others.with(|state| state.silences_broken_after = Some(1));
    assert_eq!(bench.post(&bench.click("silence_4h")).await.unwrap_err().code, Code::Storage);
    assert_eq!(bench.others.with(|state| (state.silences.len(), state.changes.len())), (1, 1));
}
