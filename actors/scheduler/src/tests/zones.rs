//! No slot twice, none lost: whatever happens, in whatever zone, where clocks are changed.

use std::collections::BTreeSet;

use chrono::{Offset as _, TimeZone as _};
use chrono_tz::TZ_VARIANTS;
use flowlord_domain::cron::CronSchedule;
use proptest::prelude::*;

use super::*;

/// What happens to a service. Times are in minutes.
#[derive(Debug, Clone)]
enum Event {
    /// Time passes while it is up.
    Pass(i64),
    /// It is killed, or stopped, and started again later.
    Down { killed: bool, minutes: i64 },
    /// The wall clock is set, forwards or backwards.
    Step(i64),
    /// Its files change: other phases come and go, these are written anew.
    Reload(bool),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0..300_i64).prop_map(Event::Pass),
        (any::<bool>(), 0..600_i64).prop_map(|(killed, minutes)| Event::Down { killed, minutes }),
        (-180..400_i64).prop_map(Event::Step),
        any::<bool>().prop_map(Event::Reload),
    ]
}

/// Those that are to start come what may, and one of whose slots those in downtime are recorded only.
const PHASES: [(&str, &str); 4] = [
    ("fixed", "30 2 * * *"),
    ("hourly", "0 * * * *"),
    ("often", "CRON_TZ=ZONE */20 1-4 * * *"),
    ("told", "15 */2 * * *"),
];

fn cron(text: &str, zone: Tz) -> String {
    text.replace("ZONE", zone.name())
}

fn file(zone: Tz, changed: bool) -> Arc<Workflows> {
    let mut text = String::new();
    for (task, spec) in PHASES {
        let missed = if task == "told" { "" } else { "&missed=all" };
        let more = if changed { "&retry_delay=9s" } else { "" };
        // In a rule a plus is a space.
        let spec = cron(spec, zone).replace('+', "%2B");
        text += &format!("[[phase]]\ntask = \"{task}\"\nrule = \"cron={spec}{missed}{more}\"\n");
    }
    if changed {
        text += "[[phase]]\ntask = \"other\"\nrule = \"cron=0 0 1 1 *\"\n";
    }
    Arc::new(Workflows::new([Arc::new(WorkflowFile::parse("w.toml", &text, "h", zone).unwrap())]))
}

/// Half a day before the clocks of a zone are changed next, if they ever are.
fn before_a_change(zone: Tz, from: DateTime<Utc>) -> DateTime<Utc> {
    let offset = |at: DateTime<Utc>| zone.offset_from_utc_datetime(&at.naive_utc()).fix();
    let days = (0..400).map(|day| from + TimeDelta::days(day));
    let last = days.take_while(|day| offset(*day) == offset(from)).last().unwrap_or(from);
    let hours = (0..24).map(|hour| last + TimeDelta::hours(hour));
    let last = hours.take_while(|hour| offset(*hour) == offset(from)).last().unwrap_or(from);
    last - TimeDelta::hours(12)
}

/// The slots after `from` up to `to`.
fn slots(task: &str, zone: Tz, from: DateTime<Utc>, to: DateTime<Utc>) -> BTreeSet<DateTime<Utc>> {
    let spec = PHASES.iter().find(|(name, _)| *name == task).unwrap().1;
    let schedule = CronSchedule::parse(&cron(spec, zone), zone).unwrap();
    let next = |at: &DateTime<Utc>| schedule.next_after(*at).filter(|slot| *slot <= to);
    std::iter::successors(next(&from), next).collect()
}

async fn live_through(zone: Tz, begin: DateTime<Utc>, events: &[Event]) -> std::result::Result<(), TestCaseError> {
    let world = World::new(begin, file(zone, false));
    let mut running = world.start().await;
    let (mut earliest, mut latest) = (begin, begin);
    for event in events {
        match event {
            Event::Pass(minutes) => world.pass(*minutes).await,
            Event::Down { killed, minutes } => {
                if *killed {
                    running.kill();
                } else {
                    running.stop().await;
                }
                world.clock.step(TimeDelta::minutes(*minutes)).await;
                running = world.start().await;
            }
            Event::Step(minutes) => {
                world.clock.step(TimeDelta::minutes(*minutes)).await;
                running.ping().await;
                world.clock.settle().await;
            }
            Event::Reload(changed) => {
                let workflows = file(zone, *changed);
                world.database.get().workflows = Arc::clone(&workflows);
                running.reload(workflows).await;
            }
        }
        earliest = earliest.min(world.clock.now());
        latest = latest.max(world.clock.now());
    }
    // Until the clock is past all that it showed, whatever was set when.
    let end = latest + TimeDelta::minutes(90);
    world.clock.advance_to(end).await;
    running.stop().await;
    for (task, _) in PHASES {
        let stored = world.database.get();
        let of_task = stored.slots.iter().filter(|((name, _), _)| name == task);
        let recorded: BTreeSet<_> =
            of_task.filter(|(_, tasks)| task == "told" || **tasks == Some(1)).map(|((_, at), _)| *at).collect();
        let lost: Vec<_> = slots(task, zone, begin, end).difference(&recorded).copied().collect();
        let made_up: Vec<_> = recorded.difference(&slots(task, zone, earliest, end)).copied().collect();
        prop_assert!(lost.is_empty() && made_up.is_empty(), "{task}: lost {lost:?}, made up {made_up:?}");
    }
    let stored = world.database.get();
    let started = stored.slots.values().filter(|tasks| tasks.is_some()).count();
    prop_assert_eq!(stored.tasks.len(), started, "a task for each slot that started");
    Ok(())
}

proptest! {
    #[test]
    fn whatever_happens_no_slot_starts_twice_or_is_lost(
        zone in 0..TZ_VARIANTS.len(),
        day in 0..14_900_i64,
        events in prop::collection::vec(event(), 1..9),
    ) {
        let zone = TZ_VARIANTS[zone];
        let begin = before_a_change(zone, time("2000-01-01T00:00:30Z") + TimeDelta::days(day));
        actix_rt::System::new().block_on(live_through(zone, begin, &events))?;
    }
}
