//! A service that runs until it is asked to end.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use flowlord::app::{RoleChange, prepare_role};
use flowlord::{ActorEnvironment, App, Config};
use flowlord_db::{DamageMark, SeenDamage};
use flowlord_messages::workflows::ReloadReport;

use super::out;
use super::signals::{CaughtSignal, SignalListener};

/// How long a clean stop may take.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HangupAction {
    /// It reads the workflow files again and goes on.
    Reloads,
    /// It stops, as at every other signal: it belongs to a terminal.
    Stops,
}

/// Starts the service, calls `ready` with it, and stops it in order at the first signal; a second one ends at once,
/// which is safe: what was acknowledged is on disk. What `ready` answers is dropped when the stop begins. Where damage
/// was seen in the database it begins anew as the same process, so that the start can replace what is damaged; and where
/// the node's role in its cluster has changed.
pub(super) async fn run_until_asked<T>(
    config: &Config,
    hangup: HangupAction,
    ready: impl FnOnce(&App) -> anyhow::Result<T>,
) -> anyhow::Result<ExitCode> {
    let mut signals = match hangup {
        HangupAction::Reloads => SignalListener::listen_for_reloads()?,
        HangupAction::Stops => SignalListener::listen()?,
    };
    let was_damaged = is_damaged(config);
    let environment = ActorEnvironment::system(Arc::new(give_up));
    let started = tokio::select! {
        started = App::start(config, environment.clone()) => started,
        // The files are read by the start itself.
        asked = asked_to_end(&mut signals, hangup, || ()) => return Ok(asked.exit_code()),
    };
    let app = match started {
        // Once: a start that can't deal with damage says why and ends.
        Err(err) if !was_damaged && is_damaged(config) => return Err(start_again(&format!("{err:#}"))),
        started => started?,
    };
    let until_then = ready(&app);
    let end = match &until_then {
        Ok(_) => tokio::select! {
            asked = asked_to_end(&mut signals, hangup, || reload_files(&app)) => StopReason::Asked(asked),
            seen = app.damaged() => StopReason::Damaged(seen),
            change = app.role_changed() => StopReason::RoleChanged(change),
        },
        Err(_) => StopReason::Asked(CaughtSignal::Terminate),
    };
    let failed = until_then.map(drop).err();
    end.log();
    let in_time = tokio::select! {
        stopped = tokio::time::timeout(STOP_DEADLINE, end.stop(app)) => stopped.is_ok(),
        again = asked_to_end(&mut signals, hangup, || ()) => end_at_once(again),
    };
    match end {
        StopReason::Damaged(seen) => Err(start_again(&seen.what)),
        StopReason::RoleChanged(change) => {
            prepare_role(config, &environment, &change)?;
            Err(start_again(&change.to_string()))
        }
        StopReason::Asked(_) => {
            let code = exit_after_stop(in_time);
            failed.map_or(Ok(code), Err)
        }
    }
}

/// Waits for a signal that asks for the end, and calls `reload` at those that ask for that.
async fn asked_to_end(signals: &mut SignalListener, hangup: HangupAction, reload: impl Fn()) -> CaughtSignal {
    loop {
        match signals.next().await {
            CaughtSignal::Hangup if hangup == HangupAction::Reloads => reload(),
            asked => return asked,
        }
    }
}

fn reload_files(app: &App) {
    match app.reload() {
        Some(reloaded) => drop(actix_rt::spawn(log_reload(reloaded))),
        None => log::info!("event=not_reloaded signal=SIGHUP reason=\"this node follows\""),
    }
}

async fn log_reload(files: impl Future<Output = Result<ReloadReport, flowlord_kernel::Error>>) {
    match files.await {
        Ok(ReloadReport { added, changed, removed, broken }) => log::info!(
            "event=reloaded signal=SIGHUP added={} changed={} removed={} broken={}",
            added.len(),
            changed.len(),
            removed.len(),
            broken.len()
        ),
        Err(err) => log::warn!("event=not_reloaded signal=SIGHUP error={err:?}"),
    }
}

enum StopReason {
    Asked(CaughtSignal),
    Damaged(SeenDamage),
    /// Of the node in its cluster.
    RoleChanged(RoleChange),
}

impl StopReason {
    async fn stop(&self, app: App) {
        match self {
            Self::RoleChanged(RoleChange::HandsOver) | Self::Asked(_) | Self::Damaged(_) => app.stop().await,
            Self::RoleChanged(_) => app.leave_role().await,
        }
    }

    fn log(&self) {
        match self {
            Self::Asked(asked) => log::info!("event=stopping signal={}", asked.name()),
            Self::Damaged(seen) => log::warn!("event=stopping damage={:?}", seen.what),
            Self::RoleChanged(change) => log::warn!("event=stopping role=\"{change}\""),
        }
    }
}

/// Whether damage was seen that no start has dealt with.
fn is_damaged(config: &Config) -> bool {
    DamageMark::read(&config.data).is_ok_and(|mark| mark.seen.is_some())
}

/// Begins anew as the same process: where nothing restarts a container, either. Answers only where that fails.
fn start_again(why: &str) -> anyhow::Error {
    log::warn!("event=starting_again reason={why:?}");
    let failed = std::env::current_exe().map_or_else(
        |err| err,
        |program| {
            let mut args = std::env::args_os();
            let name = args.next().unwrap_or_else(|| program.clone().into());
            // It returns only where it fails: else this is another program from here on.
            Command::new(program).arg0(name).args(args).exec()
        },
    );
    anyhow::anyhow!("it can't restart by itself ({failed}); start it: {why}")
}

fn exit_after_stop(in_time: bool) -> ExitCode {
    if in_time {
        log::info!("event=stopped");
        return ExitCode::SUCCESS;
    }
    out::error(&format!("flowlord: not stopped within {} s: ending at once", STOP_DEADLINE.as_secs()));
    std::process::exit(1)
}

/// Not by returning: that would wait for what is stuck.
fn end_at_once(asked: CaughtSignal) -> ! {
    log::warn!("event=ended_at_once signal={}", asked.name());
    std::process::exit(asked.code().into())
}

/// An actor that restarts don't help: the process ends, and whoever runs it starts it anew.
fn give_up(actor: &str) {
    log::error!("event=gave_up actor={actor} reason=\"more than three restarts in a minute\"");
    std::process::exit(1)
}
