//! A service that runs until it is asked to end.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use flowlord::{App, Config, Environment};

use super::out;
use super::signals::{Asked, Signals};

/// How long a clean stop may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Starts the service, calls `ready` with it, and stops it in order at the first signal; a second one ends at once,
/// which is safe: what was acknowledged is on disk. What `ready` answers is dropped when the stop begins.
pub(super) async fn until_asked<T>(
    config: &Config,
    ready: impl FnOnce(&App) -> anyhow::Result<T>,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let app = tokio::select! {
        app = App::start(config, Environment::system(Arc::new(give_up))) => app?,
        asked = signals.next() => return Ok(asked.exit_code()),
    };
    let until_then = ready(&app);
    let asked = match &until_then {
        Ok(_) => signals.next().await,
        Err(_) => Asked::Terminate,
    };
    let failed = until_then.map(drop).err();
    log::info!("event=stopping signal={}", asked.name());
    tokio::select! {
        stopped = tokio::time::timeout(DEADLINE, app.stop()) => {
            let code = ended(stopped.is_ok());
            failed.map_or(Ok(code), Err)
        }
        again = signals.next() => end_at_once(again),
    }
}

fn ended(in_time: bool) -> ExitCode {
    if in_time {
        log::info!("event=stopped");
        return ExitCode::SUCCESS;
    }
    out::error(&format!("flowlord: not stopped within {} s: ending at once", DEADLINE.as_secs()));
    std::process::exit(1)
}

/// Not by returning: that would wait for what is stuck.
fn end_at_once(asked: Asked) -> ! {
    log::warn!("event=ended_at_once signal={}", asked.name());
    std::process::exit(asked.code().into())
}

/// An actor that restarts don't help: the process ends, and whoever runs it starts it anew.
fn give_up(actor: &str) {
    log::error!("event=gave_up actor={actor} reason=\"more than three restarts in a minute\"");
    std::process::exit(1)
}
