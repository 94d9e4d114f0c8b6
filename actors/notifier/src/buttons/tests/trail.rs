//! Clicks in the trail of what people change.

use super::*;

#[actix::test]
async fn a_click_that_was_carried_out_is_in_it() {
    let bench = Bench::start(None, FakeSlack::start()).await;
    bench.post(&bench.click("silence_4h")).await.unwrap();
    let change = Change {
        at: noon(),
        who: "Ann <x>".to_owned(),
        from: "slack".to_owned(),
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
