//! Days off are those of the calendars as they are now.

use super::*;

const DAILY: &str = "[[phase]]\ntask = \"a\"\nrule = \"cron=0 3 * * *&calendar=us\"\n";

#[actix::test]
async fn a_calendar_counts_as_soon_as_it_is_read_again() {
    let world = World::new(&[("w.toml", DAILY), ("calendars/us.txt", "2026-03-03\n")]);
    let running = world.start().await;
    let state = async || {
        let workflows = running.current().await.workflows;
        let phase = workflows.phase_named("w.toml", "a").unwrap();
        let next = phase.rule.schedule.as_ref().unwrap().next_after(world.clock.now()).unwrap();
        (next.format("%m-%d").to_string(), phase.problems_text())
    };
    assert_eq!(state().await, ("03-04".to_owned(), String::new()));
    let before = running.current().await.workflows;
    running.reload().await;
    assert!(Arc::ptr_eq(&before, &running.current().await.workflows), "nothing changed");

    world.write("calendars/us.txt", "2026-03-03\n2026-03-04\n");
    running.reload().await;
    assert_eq!(state().await, ("03-05".to_owned(), String::new()));

    std::fs::remove_file(world.path("calendars/us.txt")).unwrap();
    running.reload().await;
    let problem =
        "calendar `us`: there is neither calendars/us.txt nor calendars/us.ics in the workflow folder; no day is off";
    assert_eq!(state().await, ("03-03".to_owned(), problem.to_owned()));
    running.kill();
}
