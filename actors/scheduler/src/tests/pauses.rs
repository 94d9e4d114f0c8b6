//! Phases that are paused, and slots that bring rows from files.

use flowlord_domain::AlertKind;
use flowlord_domain::template::MetaRow;
use flowlord_kernel::{Code, Error};

use super::stub::Stored;
use super::*;

#[actix::test]
async fn what_fell_into_a_pause_follows_the_rule_when_it_ends() {
    let phases = [
        ("a", "cron=0 * * * *"),
        ("b", "cron=0 * * * *&missed=latest"),
        ("c", "cron=0 * * * *&missed=all&missed_window=90m"),
        ("d", "cron=0 * * * *"),
    ];
    let world = World::new(at("11:30:00"), workflows(&phases));
    let running = world.start().await;
    for task in ["a", "b", "c"] {
        assert_eq!(running.pause(task, true).await, Ok(Some(at("11:30:00"))));
    }
    world.pass(60).await;
    assert_eq!(world.database.infos(), ["2026-03-02T12:00"], "only d goes on");
    // The pause outlives a crash, and whatever fell into the downtime is part of it.
    running.kill();
    world.clock.advance(TimeDelta::minutes(120)).await;
    let running = world.start().await;
    world.pass(5).await;
    let next: Vec<_> = running.next_runs().await.into_iter().map(|times| times.next).collect();
    assert_eq!(next, [None, None, None, Some(at("15:00:00"))]);
    let told = world.database.get().alerts.len();
    assert_eq!(told, 1, "of d");

    for task in ["a", "b", "c"] {
        assert_eq!(running.pause(task, false).await, Ok(None));
    }
    world.clock.settle().await;
    let of = |name: &str| -> Vec<String> {
        let stored = world.database.get();
        let slots = stored.slots.iter().filter(|((task, _), _)| task == name);
        slots.map(|((_, at), tasks)| format!("{} {}", at.format("%H"), tasks.unwrap_or(0))).collect()
    };
    assert_eq!(of("a"), ["12 0", "13 0", "14 0"]);
    assert_eq!(of("b"), ["12 0", "13 0", "14 1"]);
    assert_eq!(of("c"), ["12 0", "13 0", "14 1"]);
    assert_eq!(world.database.get().alerts.len(), told, "a pause is no news");
    world.pass(30).await;
    assert_eq!(world.database.get().created.iter().filter(|at| **at >= self::at("15:00:00")).count(), 4);
    running.stop().await;
}

#[actix::test]
async fn only_phases_that_are_there_can_be_paused() {
    let world = World::new(at("11:30:00"), workflows(&[("a", "cron=0 * * * *")]));
    let running = world.start().await;
    let err = running.pause("b", true).await.unwrap_err();
    assert_eq!((err.code, err.detail.contains("`w.toml` has no phase `b`")), (Code::WorkflowUnknown, true));
    running.pause("a", true).await.unwrap();
    running.reload(workflows(&[("c", "cron=0 * * * *")])).await;
    assert_eq!(running.pause("a", false).await, Ok(None), "it left meanwhile");
    assert_eq!(running.pause("a", false).await.unwrap_err().code, Code::WorkflowUnknown);
    // Nothing is paused that isn't stored.
    world.database.fail(&[stub::Fault::Refused]);
    assert_eq!(running.pause("c", true).await.unwrap_err().code, Code::Storage);
    world.pass(60).await;
    assert_eq!(world.database.infos().len(), 1);
    running.stop().await;
}

fn row(value: &str) -> MetaRow {
    MetaRow([("k".to_owned(), value.to_owned())].into())
}

#[actix::test]
async fn rows_of_a_file_are_read_when_the_slot_comes() {
    let world = World::new(at("11:30:00"), workflows(&[("a", "cron=0 * * * *&meta-file=rows.json")]));
    let running = world.start().await;
    let busy = || Err(Error::new(Code::Busy, "later"));
    world.database.get().rows = [busy(), busy(), Ok(vec![row("x"), row("y")])].into_iter().collect();
    world.pass(31).await;
    assert_eq!(world.database.get().tasks.len(), 2, "asked again until they were there");
    world.pass(60).await;
    let counts = |stored: &Stored| (stored.tasks.len(), stored.slots.len());
    assert_eq!(counts(&world.database.get()), (2, 2), "a file that is wrong costs the slot");
    let alert = world.database.get().alerts[0].clone();
    assert_eq!(alert.kind, AlertKind::CreateFailed);
    assert!(alert.msg.ends_with("meta-file `rows.json`: no such file"), "{}", alert.msg);
    running.stop().await;
}
