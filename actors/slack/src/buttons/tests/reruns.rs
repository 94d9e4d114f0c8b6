//! Failed tasks run again by a click.

use super::*;

/// A task that failed for good.
pub(super) fn failed(topic: &str, job: &str, info: &str) -> Attempt {
    Attempt {
        job: job.to_owned(),
        info: info.to_owned(),
        meta: "retry=failed&x=1".to_owned(),
        retry: 2,
        state: TaskState::Done,
        result: Some(TaskResult::Error),
        ..leased(Uid(1), topic)
    }
}

#[actix::test]
async fn those_of_the_incident_run_again_and_that_is_shown() {
    let bench = Bench::start(None, FakeSlack::start()).await;
    let tasks = vec![failed("a", "j", "1"), failed("a", "other", "2"), failed("b", "", "runs")];
    bench.others.with(|state| state.failed = tasks);
    bench.post(&bench.click("rerun")).await.unwrap();
    let (again, messages) = bench.others.with(|state| (state.again.clone(), state.messages.clone()));
    let infos: Vec<_> = again.iter().map(|task| task.info.as_str()).collect();
    assert_eq!(infos, ["1", "runs"], "what isn't of the incident stays");
    assert_eq!((again[0].meta.as_str(), again[0].parent), ("rerun=manual&x=1", Some(Uid(1))));
    let payload: MessagePayload = serde_json::from_str(&messages[0].payload).unwrap();
    assert_eq!(payload.footer, "1 of 2 tasks rerun by Ann <x>; next update at 12:10 UTC");
    assert_eq!(payload.incident.unwrap().details, ["1 of 2 tasks rerun by Ann <x>"]);
}

#[actix::test]
async fn who_has_nothing_or_too_much_to_run_again_is_told() {
    let bench = Bench::start(None, FakeSlack::start()).await;
    for (nth, (tasks, why)) in [
        (vec![], "this incident has no failed task left"),
        (vec![failed("a", "other", "1")], "this incident has no failed task left"),
        (vec![failed("a", "j", "1"); 501], "more than 500 tasks failed"),
        (vec![failed("a", "j", "runs")], "it runs again already"),
    ]
    .into_iter()
    .enumerate()
    {
        bench.others.with(|state| state.failed = tasks);
        bench.post(&bench.click_at("rerun", &nth.to_string())).await.unwrap();
        let whispers = bench.whispers();
        assert!(whispers[nth].starts_with("Rerun failed didn't work") && whispers[nth].contains(why), "{whispers:?}");
    }
    assert!(bench.others.with(|state| state.messages.is_empty()));
}
