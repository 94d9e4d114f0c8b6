//! What joins and limits cost the lease path: full cycles of a workflow of many phases with them, beside one without.

use std::fmt::Write as _;
use std::io::Write as _;

use crate::cycles::JobCycles;
use crate::load::LoadTurns;
use crate::server::{BenchService, find_flowlord};
use crate::timing::median_of;

/// So many groups, each with more places than there are workers: what is measured is the look, not the wait.
const GROUPS: usize = 10;
const PLACES: usize = 10_000;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PhasesPlan {
    #[command(flatten)]
    turns: LoadTurns,
    /// Phases of each workflow: half of them have the tasks, a quarter are joins of the other quarter.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(8..))]
    phases: u16,
}

pub(crate) async fn measure_phases(plan: &PhasesPlan) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    let (binary, phases) = (find_flowlord()?, usize::from(plan.phases));
    let plain = BenchService::start_with(&binary, &[write_phases(phases, false)]).await?;
    let limited = BenchService::start_configured(&binary, &[write_phases(phases, true)], &write_groups()).await?;
    let kind = JobCycles { jobs: phases / 2 };
    let mut ratios = Vec::new();
    for round in 1..=plan.turns.rounds {
        let without = plan.turns.run_turn(&plain.address, kind).await?.per_second;
        let with = plan.turns.run_turn(&limited.address, kind).await?.per_second;
        writeln!(out, "round {round}: without {without:>7.0}/s  with joins and limits {with:>7.0}/s")?;
        ratios.push(with / without);
    }
    let ratio = median_of(ratios)?;
    writeln!(
        out,
        "median of {} rounds, {} workers, {phases} phases: {ratio:.2}",
        plan.turns.rounds, plan.turns.workers
    )?;
    Ok(())
}

fn write_groups() -> String {
    (0..GROUPS).fold("[groups]\n".to_owned(), |text, group| text + &format!("g{group} = {PLACES}\n"))
}

/// The same phases with joins and limits, or with simple children and none.
fn write_phases(phases: usize, has_joins_and_limits: bool) -> String {
    let mut text = String::new();
    let yearly = "cron=0 0 1 1 *";
    let limits = |n: usize| format!("&group=g{}&max_active={PLACES}", n % GROUPS);
    for n in 0..phases / 2 {
        let more = if has_joins_and_limits { limits(n) } else { String::new() };
        let _always_room = write!(text, "[[phase]]\ntask = \"load:j{n}\"\nrule = \"{yearly}{more}\"\n");
    }
    for n in 0..phases / 4 {
        let next = (n + 1) % (phases / 4);
        let (parents, rule) = match has_joins_and_limits {
            true => (format!("[\"part:j{n}\", \"part:j{next}\"]"), "over=day"),
            false => (format!("\"part:j{n}\""), ""),
        };
        let _always_room = write!(
            text,
            "[[phase]]\ntask = \"part:j{n}\"\nrule = \"{yearly}\"\n\
             [[phase]]\ntask = \"sum:j{n}\"\ndependsOn = {parents}\nrule = \"{rule}\"\n"
        );
    }
    text
}
