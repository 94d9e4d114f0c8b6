//! When things go wrong.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::TimeDelta;
use flowlord_domain::AlertKind;
use flowlord_kernel::{Code, Ping};

use super::stub::Fault::{Refused, Unanswered};
use super::{World, at, workflows};

#[actix::test]
async fn a_slot_that_could_not_be_stored_is_tried_again_and_starts_once() {
    let world = World::new(at("10:30:00"), workflows(&[("a", "cron=* * * * *")]));
    let running = world.start().await;
    world.database.fail(&[Refused, Refused, Unanswered]);
    world.pass(1).await;
    assert!(world.database.infos().is_empty());
    world.clock.advance(TimeDelta::seconds(3)).await;
    world.pass(1).await;
    assert_eq!(world.database.infos(), ["2026-03-02T10:31", "2026-03-02T10:32"]);
    let created = world.database.get().created.clone();
    assert_eq!(created, [at("10:31:02"), at("10:32:00")]);
    assert_eq!(world.database.get().taken, 1, "asked again, as nobody had said that it was stored");
    running.kill();
}

#[actix::test]
async fn while_the_database_is_away_slots_wait_in_order() {
    let world = World::new(at("10:30:00"), workflows(&[("a", "cron=* * * * *"), ("b", "cron=*/2 * * * *")]));
    let running = world.start().await;
    world.database.fail(&[Refused; 10_000]);
    world.pass(5).await;
    assert!(world.database.infos().is_empty());
    world.database.fail(&[]);
    world.clock.advance(TimeDelta::seconds(2)).await;
    let of = |task: &str| -> Vec<String> {
        let stored = world.database.get();
        stored.tasks.iter().filter(|t| t.topic == task).map(|t| t.info[11..].to_owned()).collect()
    };
    assert_eq!(of("a"), ["10:31", "10:32", "10:33", "10:34", "10:35"]);
    assert_eq!(of("b"), ["10:32", "10:34"]);
    running.kill();
}

#[actix::test]
async fn a_slot_whose_tasks_cant_be_made_is_stored_with_an_alert() {
    let rules = [("a", "cron=0 * * * *&meta=abc"), ("a", "cron=0 * * * *")];
    let world = World::new(at("10:30:00"), workflows(&rules));
    let running = world.start().await;
    world.pass(61).await;
    let alerts = world.database.get().alerts.clone();
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!((alerts[0].kind, alerts[0].topic.as_str()), (AlertKind::CreateFailed, "a"));
    assert!(alerts[0].msg.contains("2026-03-02T11:00:00Z") && alerts[0].msg.contains("abc"), "{alerts:?}");
    assert_eq!(world.database.infos(), ["2026-03-02T11:00"], "the other phase of the slot starts");
    assert_eq!(world.database.get().slots.len(), 1);
    running.kill();
}

#[actix::test]
async fn it_begins_once_it_can_read() {
    let world = World::new(at("10:59:58"), workflows(&[("a", "cron=0 * * * *")]));
    world.database.get().unreadable = 3;
    let running = world.start().await;
    assert!(running.next_runs().await.is_empty());
    world.pass(1).await;
    world.pass(60).await;
    assert_eq!(world.database.infos(), ["2026-03-02T12:00"], "what it never planned it never missed");
    running.kill();
}

#[actix::test]
async fn a_cron_is_remembered_from_when_it_counts_also_if_that_takes_a_while() {
    let world = World::new(at("10:30:00"), workflows(&[("a", "cron=0 12 * * *"), ("b", "cron=0 * * * *")]));
    world.database.fail(&[Refused; 3]);
    let running = world.start().await;
    world.pass(61).await;
    let crons = |world: &World| -> Vec<_> {
        let stored = world.database.get();
        stored.crons.iter().map(|(key, since)| format!("{} {} {}", key.task, key.cron, since.format("%H:%M"))).collect()
    };
    assert_eq!(crons(&world), ["a 0 12 * * * 10:30", "b 0 * * * * 10:30"]);
    let changed = workflows(&[("a", "cron=0 12 * * *"), ("b", "cron=*/5 * * * *")]);
    world.database.get().workflows = Arc::clone(&changed);
    running.reload(changed).await;
    world.clock.settle().await;
    assert_eq!(crons(&world), ["a 0 12 * * * 10:30", "b */5 * * * * 11:31"]);
    running.kill();
    world.pass(31).await;
    let running = world.start().await;
    let messages: Vec<_> = world.database.get().alerts.iter().map(|alert| alert.msg.clone()).collect();
    assert!(messages[0].starts_with("6 slots from 2026-03-02T11:35:00Z to 2026-03-02T12:00:00Z"), "{messages:?}");
    assert!(messages[1].starts_with("the slot of 2026-03-02T12:00:00Z"), "not once had it come: {messages:?}");
    running.kill();
}

#[actix::test]
async fn after_a_panic_it_goes_on_and_what_came_due_meanwhile_is_late_not_missed() {
    let world = World::new(at("10:30:00"), workflows(&[("a", "cron=0 * * * *")]));
    let running = world.start().await;
    world.pass(29).await;
    // While it reads again, a slot comes due.
    world.database.get().unreadable = 1;
    world.clock.advance(TimeDelta::milliseconds(59_500)).await;
    world.trap.store(true, Ordering::SeqCst);
    let panicked = running.port().call(Ping).await.unwrap_err();
    assert_eq!(panicked.code, Code::Internal);
    world.pass(120).await;
    assert_eq!(world.database.infos(), ["2026-03-02T11:00", "2026-03-02T12:00"]);
    assert_eq!(world.database.get().created[0], at("11:00:00") + TimeDelta::milliseconds(500));
    assert_eq!(world.database.get().alerts.len(), 0);
    running.ping().await;
    running.kill();
}

#[actix::test]
async fn a_cron_that_left_in_downtime_is_forgotten() {
    let world = World::new(at("10:30:00"), workflows(&[("a", "cron=0 12 * * *"), ("b", "cron=0 * * * *")]));
    world.start().await.kill();
    world.database.get().workflows = workflows(&[("b", "cron=0 * * * *")]);
    world.start().await.kill();
    let tasks: Vec<_> = world.database.get().crons.keys().map(|key| key.task.clone()).collect();
    assert_eq!(tasks, ["b"]);
}

#[actix::test]
async fn a_reload_before_it_can_read_counts() {
    let world = World::new(at("10:30:00"), workflows(&[("old", "cron=0 * * * *")]));
    world.database.get().unreadable = 1;
    let running = world.start().await;
    running.reload(workflows(&[("new", "cron=0 * * * *")])).await;
    world.pass(31).await;
    let topics: Vec<_> = world.database.get().tasks.iter().map(|task| task.topic.clone()).collect();
    assert_eq!(topics, ["new"]);
    running.kill();
}

#[actix::test]
async fn delayed_tasks_that_could_not_be_moved_are_tried_again() {
    let world = World::new(at("10:00:00"), workflows(&[]));
    world.database.get().delayed.insert(at("10:10:00"));
    let running = world.start().await;
    world.pass(9).await;
    world.database.fail(&[Refused, Unanswered]);
    world.pass(2).await;
    assert_eq!(world.database.get().promoted, [(at("10:10:00"), at("10:10:01"))]);
    running.kill();
}

#[actix::test]
async fn a_stop_waits_for_what_is_under_way_and_nothing_starts_after_it() {
    let world = World::new(at("10:59:59"), workflows(&[("a", "cron=0 * * * *")]));
    let running = world.start().await;
    world.database.fail(&[Refused]);
    world.clock.advance(TimeDelta::seconds(1)).await;
    assert!(world.database.infos().is_empty());
    running.port().call(flowlord_messages::schedule::StopScheduling).await.unwrap();
    assert_eq!(world.database.infos(), ["2026-03-02T11:00"], "what was due has one more try");
    world.pass(120).await;
    assert_eq!(world.database.infos().len(), 1);
    running.stop().await;
}

#[actix::test]
async fn a_stop_with_the_database_away_is_answered() {
    let world = World::new(at("10:59:59"), workflows(&[("a", "cron=0 * * * *&missed=all")]));
    let running = world.start().await;
    world.database.fail(&[Refused; 9]);
    world.clock.advance(TimeDelta::seconds(1)).await;
    running.stop().await;
    world.database.fail(&[]);
    let running = world.start().await;
    assert_eq!(world.database.infos(), ["2026-03-02T11:00"], "its first slot ever, and not forgotten");
    running.kill();
}

#[actix::test]
async fn a_machine_that_slept_treats_slots_as_missed_and_one_set_back_starts_nothing_twice() {
    let world = World::new(at("10:30:00"), workflows(&[("a", "cron=0 * * * *")]));
    let running = world.start().await;
    world.clock.set(at("13:30:00")).await;
    world.clock.settle().await;
    let slots =
        |of: &dyn Fn(&Option<usize>) -> bool| world.database.get().slots.values().filter(|tasks| of(tasks)).count();
    assert_eq!((slots(&Option::is_none), slots(&Option::is_some)), (3, 0));
    assert_eq!(world.database.get().alerts.len(), 1);
    world.pass(60).await;
    assert_eq!(world.database.infos(), ["2026-03-02T14:00"]);

    world.clock.set(at("12:30:00")).await;
    running.ping().await;
    world.pass(151).await;
    assert_eq!(world.database.infos(), ["2026-03-02T14:00", "2026-03-02T15:00"]);
    assert_eq!(world.database.get().taken, 2);
    running.kill();
}
