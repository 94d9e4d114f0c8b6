//! A peer as a process, on a free port of the loopback and a temporary folder.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::TcpStream;

pub(super) const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A running peer; stopped, with what it stored, when dropped.
#[derive(Debug)]
pub(super) struct PeerServer {
    pub(super) port: u16,
    pub(super) folder: TempDir,
    process: Child,
}

impl PeerServer {
    /// Spawns the command in a folder, and waits until it accepts connections on its port.
    pub(super) async fn start_in(folder: TempDir, port: u16, mut command: Command) -> anyhow::Result<Self> {
        let log = folder.path().join("log");
        // Of a pipe that nobody reads, a peer that logs much would wait for a reader.
        let output = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let mut server = Self { port, folder, process: command.spawn()? };
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(server.address()).await.is_err() {
            let has_ended = server.process.try_wait()?.is_some();
            ensure!(!has_ended && Instant::now() < deadline, "{command:?}: {}", fs::read_to_string(&log)?);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(server)
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for PeerServer {
    fn drop(&mut self) {
        // SIGINT is the quickest stop that leaves no shared memory of PostgreSQL behind. A peer that began in the
        // background of a shell ignores it, if it has no handler of its own, and ends by SIGTERM.
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        for signal in [Signal::INT, Signal::TERM] {
            let _has_ended_already = pid.map(|pid| kill_process(pid, signal));
        }
        // It may write to its folder until it has ended.
        let _status = self.process.wait();
    }
}

/// A temporary folder in which each user may write, as a peer may run as another one.
pub(super) fn create_open_folder() -> anyhow::Result<TempDir> {
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777))?;
    Ok(folder)
}

/// A program of the `PATH`, or of Debian's PostgreSQL, which isn't on it.
pub(super) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders = std::env::split_paths(&path).chain(versions.map(|version| version.path().join("bin")));
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

pub(super) fn command_of(name: &str) -> anyhow::Result<Command> {
    Ok(Command::new(find_program(name).with_context(|| format!("{name} is missing"))?))
}

/// Runs a command to its end, and returns what it printed.
pub(super) async fn run_to_end(command: Command, folder: &Path) -> anyhow::Result<String> {
    let mut command = tokio::process::Command::from(command);
    let output = command.current_dir(folder).output().await?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
