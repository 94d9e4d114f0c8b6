//! Days that pass as they should.

use chrono::TimeDelta;
use flowlord_domain::IdSource as _;
use flowlord_kernel::Clock as _;
use flowlord_kernel::IdGenerator;

use super::stub::Fault;
use super::{World, at, time, workflows};

#[actix::test]
async fn a_day_of_hourly_cron_starts_each_slot_once_on_time() {
    let world = World::new(at("00:30:00"), workflows(&[("a:j", "cron=0 * * * *&offset=-1h")]));
    let running = world.start().await;
    world.pass(24 * 60).await;
    let hours = |hour: i64| at("00:00:00") + TimeDelta::hours(hour);
    let infos: Vec<_> = (0..24).map(|hour| hours(hour).format("%Y-%m-%dT%H:%M").to_string()).collect();
    assert_eq!(world.database.infos(), infos);
    let slots: Vec<_> = (1..25).map(hours).collect();
    assert_eq!(world.database.get().created, slots);
    assert_eq!(world.database.get().taken, 0);
    let times = running.next_runs().await;
    assert_eq!((times[0].workflow.as_str(), times[0].task.as_str()), ("w.toml", "a:j"));
    assert_eq!(
        (times[0].cron.as_str(), times[0].previous, times[0].next),
        ("0 * * * *", Some(hours(24)), Some(hours(25)))
    );
    running.stop().await;
}

/// Whatever is killed when, and whatever write fails: each slot is stored once, started or missed; and with
/// `missed=all` it is started.
#[actix::test]
async fn killed_at_any_moment_it_neither_repeats_nor_forgets_a_slot() {
    for seed in 0..12 {
        let rules = ["cron=*/7 * * * *&missed=all", "cron=0 * * * *", "cron=@every 11m&missed=all"];
        let world =
            World::new(at("00:00:30"), workflows(&[("all", rules[0]), ("none", rules[1]), ("every", rules[2])]));
        let mut dice = IdGenerator::seeded(seed);
        let mut dice = |sides: u64| i64::try_from(dice.random_bits() % sides).unwrap();
        let mut running = world.start().await;
        while world.clock.now() < at("20:00:00") {
            let faults = (0..20).map(|_| {
                [None, None, Some(Fault::Refused), Some(Fault::Unanswered)][usize::try_from(dice(4)).unwrap()]
            });
            world.database.get().faults = faults.collect();
            world.pass(dice(50)).await;
            world.clock.advance(TimeDelta::seconds(dice(60))).await;
            if dice(2) == 0 {
                running.kill();
            } else {
                running.stop().await;
            }
            world.clock.advance(TimeDelta::seconds(dice(3 * 3600))).await;
            running = world.start().await;
        }
        world.database.get().faults.clear();
        world.pass(60).await;
        let stored = world.database.get();
        let of = |task: &str| -> Vec<_> {
            stored.slots.iter().filter(|((name, _), _)| name == task).map(|((_, at), tasks)| (*at, *tasks)).collect()
        };
        let end = world.clock.now();
        let all = |step: i64| {
            (1..)
                .map(move |n| at("00:00:00") + TimeDelta::minutes(step * n))
                .take_while(move |slot| *slot <= end)
                .count()
        };
        // Minutes 0, 7, … 56 of each hour.
        let sevens = (1..24 * 60).filter(|minute| minute % 60 % 7 == 0);
        let sevens = sevens.filter(|minute| at("00:00:00") + TimeDelta::minutes(*minute) <= end).count();
        assert!(of("all").iter().all(|(_, tasks)| *tasks == Some(1)), "seed {seed}");
        assert_eq!(of("all").len(), sevens, "seed {seed}");
        assert_eq!(of("none").len(), all(60), "seed {seed}");
        assert!(of("every").iter().all(|(_, tasks)| *tasks == Some(1)), "seed {seed}");
        assert!(of("every").windows(2).all(|pair| pair[1].0 - pair[0].0 >= TimeDelta::minutes(11)), "seed {seed}");
        let started = stored.slots.values().filter(|tasks| tasks.is_some()).count();
        assert_eq!(stored.tasks.len(), started, "seed {seed}");
        drop(stored);
        running.kill();
    }
}

#[actix::test]
async fn slots_in_downtime_are_recorded_and_told_once() {
    let world =
        World::new(at("10:30:00"), workflows(&[("a", "cron=0 * * * *"), ("b", "cron=0 * * * *&missed=latest")]));
    let running = world.start().await;
    world.pass(60).await;
    running.stop().await;
    world.pass(180).await;
    let running = world.start().await;
    assert_eq!(world.database.infos(), ["2026-03-02T11:00", "2026-03-02T11:00", "2026-03-02T14:00"]);
    let slots = |task: &str| -> Vec<Option<usize>> {
        let stored = world.database.get();
        stored.slots.iter().filter(|((name, _), _)| name == task).map(|(_, tasks)| *tasks).collect()
    };
    assert_eq!(slots("a"), [Some(1), None, None, None]);
    assert_eq!(slots("b"), [Some(1), None, None, Some(1)]);
    running.kill();
    let running = world.start().await;
    world.pass(60).await;
    let alerts = world.database.get().alerts.clone();
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert!(alerts[0].msg.starts_with("3 slots from 2026-03-02T12:00:00Z to 2026-03-02T14:00:00Z"), "{alerts:?}");
    assert_eq!((slots("a").len(), slots("a").last()), (5, Some(&Some(1))));
    running.kill();
}

#[actix::test]
async fn a_clock_that_is_changed_neither_skips_nor_doubles_a_slot() {
    // In Berlin 02:30 doesn't exist on 29 March, and comes twice on 25 October.
    for (from, slots) in [
        ("2026-03-28T12:00:00Z", ["2026-03-29T01:00", "2026-03-30T00:30"]),
        ("2026-10-24T12:00:00Z", ["2026-10-25T00:30", "2026-10-26T01:30"]),
    ] {
        let world = World::new(time(from), workflows(&[("a", "cron=CRON_TZ=Europe/Berlin 30 2 * * *")]));
        let running = world.start().await;
        world.pass(48 * 60).await;
        assert_eq!(world.database.infos(), slots);
        running.kill();
    }
}

#[actix::test]
async fn a_reload_takes_effect_at_once_and_loses_no_slot() {
    let world = World::new(at("10:30:00"), workflows(&[("a", "cron=0 * * * *"), ("b", "cron=45 * * * *")]));
    let running = world.start().await;
    world.pass(20).await;
    // Just when it is due.
    running.reload(workflows(&[("a", "cron=0 * * * *"), ("c", "cron=5 * * * *")])).await;
    world.pass(10).await;
    running.reload(workflows(&[("a", "cron=0 * * * *&retry_delay=1m"), ("c", "cron=5 * * * *")])).await;
    world.pass(70).await;
    let slots: Vec<_> =
        world.database.get().slots.keys().map(|(task, at)| format!("{task} {}", at.format("%H:%M"))).collect();
    assert_eq!(slots, ["a 11:00", "a 12:00", "b 10:45", "c 11:05", "c 12:05"]);
    assert_eq!(world.database.get().taken, 0);
    running.kill();
}

#[actix::test]
async fn ten_thousand_phases_due_at_once_all_start() {
    let names: Vec<_> = (0..10_000).map(|n| format!("t{n}")).collect();
    let phases: Vec<_> = names.iter().map(|name| (name.as_str(), "cron=0 * * * *")).collect();
    let world = World::new(at("10:30:00"), workflows(&phases));
    let running = world.start().await;
    world.pass(30).await;
    assert_eq!(world.database.get().tasks.len(), 10_000);
    assert_eq!(running.next_runs().await.len(), 10_000);
    running.stop().await;
}

#[actix::test]
async fn delayed_tasks_become_ready_when_they_are_due() {
    let world = World::new(at("10:00:00"), workflows(&[]));
    let due = [at("10:10:00"), at("10:10:01"), at("10:20:00")];
    world.database.get().delayed.extend(due);
    let running = world.start().await;
    world.pass(15).await;
    let later = [at("10:17:00"), at("11:00:00")];
    world.database.get().delayed.extend(later);
    running.delayed(later[0]);
    world.pass(10).await;
    let expected: Vec<_> = [due[0], due[1], later[0], due[2]].into_iter().map(|due| (due, due)).collect();
    assert_eq!(world.database.get().promoted, expected);
    // Its hint was lost; still it comes.
    world.database.get().delayed.insert(at("10:26:00"));
    world.pass(40).await;
    let promoted = world.database.get().promoted.clone();
    assert!(promoted[4].0 == at("10:26:00") && promoted[4].1 <= at("10:31:00"), "{promoted:?}");
    assert_eq!(promoted[5], (later[1], later[1]));
    running.kill();
}
