//! The guard of a command: a small process between the worker and the command, which ends the command, with everything
//! that it started, when the worker is gone, however that one died.
//!
//! The worker holds one end of a socket, the guard the other as its stdin. The order goes in, what becomes of it comes
//! out, and the end of the worker is the end of the socket. The command has a process group of its own, so that neither
//! a signal to the guard's group nor one of the command to its own ends both.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// The word that makes this program a guard, and its name in lists of processes: what ends every `flowlord` by name
/// must not end the guards, too.
pub(crate) const NAME: &str = "task-guard";

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StartOrder {
    pub(super) command: Vec<String>,
    pub(super) set: Vec<(String, String)>,
    pub(super) removed: Vec<String>,
    pub(super) input: CommandInput,
}

/// What a command reads on its stdin.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum CommandInput {
    /// One line, and then its end.
    Line(String),
    /// The lines of [`GuardedCommand::send_line`], as they come.
    Kept,
}

/// A line for the command's stdin; none is its end.
type InputLine = Option<String>;

/// Lines on their way to a command's stdin. A worker has one in flight; more of them hold up the guard.
const MAX_LINES_WAITING: usize = 4;

#[derive(Debug, Serialize, Deserialize)]
enum GuardReply {
    Started(i32),
    /// It doesn't: the system's error number, and its text.
    NotStarted(Option<i32>, String),
    /// It ended, with this status as `wait` tells it.
    Ended(i32),
}

/// A command with its guard. Dropping it kills the command, with everything that it started.
#[derive(Debug)]
pub(super) struct GuardedCommand {
    guard: Child,
    link: BufReader<UnixStream>,
    /// What came of the guard's next reply.
    heard: String,
    /// The command's process group, until its end.
    group: Option<Pid>,
    status: Option<ExitStatus>,
}

impl GuardedCommand {
    pub(super) async fn start(order: &StartOrder) -> io::Result<Self> {
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        let guard = guard_command()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C in a terminal goes to the worker's group: the guard must outlive it.
            .process_group(0)
            .spawn()
            // Not the command's fault, whatever it is.
            .map_err(|err| io::Error::other(format!("its guard can't be started: {err}")))?;
        let link = BufReader::new(UnixStream::from_std(ours)?);
        let mut guarded = Self { guard, link, heard: String::new(), group: None, status: None };
        guarded.send(order).await?;
        match guarded.hear().await? {
            GuardReply::Started(id) => guarded.group = Pid::from_raw(id),
            // As the system said it to the guard: the caller tells a missing program from other failures.
            GuardReply::NotStarted(Some(number), _) => return Err(io::Error::from_raw_os_error(number)),
            GuardReply::NotStarted(None, text) => return Err(io::Error::other(text)),
            GuardReply::Ended(_) => return Err(guard_is_gone()),
        }
        Ok(guarded)
    }

    /// The command's output; none when it was taken before.
    pub(super) fn output(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        (self.guard.stdout.take(), self.guard.stderr.take())
    }

    /// Sends a line to the command's stdin, which must be [kept](CommandInput::Kept) open.
    pub(super) async fn send_line(&mut self, line: &str) -> io::Result<()> {
        self.send(&Some(line)).await
    }

    /// Ends the command's stdin.
    pub(super) async fn end_input(&mut self) -> io::Result<()> {
        self.send(&InputLine::None).await
    }

    async fn send(&mut self, message: &impl Serialize) -> io::Result<()> {
        send_json(&mut self.link, message).await.map_err(|_| guard_is_gone())
    }

    /// Asks the command, and all that it started, to end.
    pub(super) fn terminate(&self) {
        if let Some(group) = self.group {
            // It may have ended a moment ago.
            let _ = kill_process_group(group, Signal::TERM);
        }
    }

    /// Waits for the command's end. Dropping the future loses nothing.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        match self.hear().await? {
            GuardReply::Ended(status) => {
                self.group = None;
                Ok(*self.status.insert(ExitStatus::from_raw(status)))
            }
            GuardReply::Started(_) | GuardReply::NotStarted(..) => Err(guard_is_gone()),
        }
    }

    async fn hear(&mut self) -> io::Result<GuardReply> {
        if self.link.read_line(&mut self.heard).await? == 0 {
            return Err(guard_is_gone());
        }
        Ok(serde_json::from_str(&std::mem::take(&mut self.heard))?)
    }
}

impl Drop for GuardedCommand {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // It may have ended a moment ago.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

fn guard_is_gone() -> io::Error {
    io::Error::other("the process that guards the command is gone")
}

/// This program again, also where an upgrade has put another in its place.
#[cfg(not(test))]
fn guard_command() -> Command {
    let itself = std::path::Path::new("/proc/self/exe");
    let program = if itself.exists() { itself.to_owned() } else { std::env::current_exe().unwrap_or_default() };
    let mut guard = Command::new(program);
    guard.arg0(NAME).arg(NAME);
    guard
}

/// This program; its stdin is the socket.
pub(crate) fn run() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(serve_order())) {
        Ok(()) => ExitCode::SUCCESS,
        // The worker, if it is there, sees the end of the socket.
        Err(_) => ExitCode::FAILURE,
    }
}

async fn serve_order() -> io::Result<()> {
    // A service manager sends such a signal to everything: the command decides for itself, the guard stays.
    let _ignored =
        [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::quit(), SignalKind::terminate()].map(signal);
    let link = StdStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    link.set_nonblocking(true)?;
    let (from, mut to) = UnixStream::from_std(link)?.into_split();
    let mut from = BufReader::new(from);
    let mut line = String::new();
    from.read_line(&mut line).await?;
    let order: StartOrder = serde_json::from_str(&line)?;
    let mut child = match order.start() {
        Ok(child) => child,
        Err(err) => {
            return send_json(&mut to, &GuardReply::NotStarted(err.raw_os_error(), err.to_string())).await;
        }
    };
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    // A worker that is gone already is seen below.
    let _ = send_json(&mut to, &GuardReply::Started(group.unwrap_or_default())).await;
    let (input, lines) = mpsc::channel(MAX_LINES_WAITING);
    tokio::spawn(feed_input(child.stdin.take(), lines));
    if let CommandInput::Line(line) = order.input {
        let _ = input.send(Some(line)).await;
        let _ = input.send(None).await;
    }
    tokio::select! {
        status = child.wait() => send_json(&mut to, &GuardReply::Ended(status?.into_raw())).await,
        () = pass_lines(&mut from, input) => {
            if let Some(group) = group.and_then(Pid::from_raw) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            Ok(())
        }
    }
}

async fn send_json(to: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line).await
}

/// Passes on the worker's lines until its end.
async fn pass_lines(from: &mut BufReader<OwnedReadHalf>, input: mpsc::Sender<InputLine>) {
    let mut line = String::new();
    while from.read_line(&mut line).await.is_ok_and(|read| read > 0) {
        let text = serde_json::from_str(&std::mem::take(&mut line)).unwrap_or(InputLine::None);
        // A command that closed its input is told nothing more.
        let _ = input.send(text).await;
    }
}

/// Writes lines to a command's stdin, which ends with the first that is none.
async fn feed_input(stdin: Option<ChildStdin>, mut lines: mpsc::Receiver<InputLine>) {
    let Some(mut stdin) = stdin else { return };
    while let Some(Some(mut line)) = lines.recv().await {
        line.push('\n');
        if stdin.write_all(line.as_bytes()).await.is_err() {
            // A command that doesn't read its input closes it.
            return;
        }
    }
}

impl StartOrder {
    fn start(&self) -> io::Result<Child> {
        let (program, arguments) = self.command.split_first().ok_or_else(|| io::Error::other("there is no command"))?;
        let mut command = Command::new(program);
        command.args(arguments).envs(self.set.iter().map(|(name, value)| (name, value)));
        for name in &self.removed {
            command.env_remove(name);
        }
        command.stdin(Stdio::piped()).process_group(0).spawn()
    }
}

/// The tests' program again, with one test that is the guard.
#[cfg(test)]
fn guard_command() -> Command {
    let mut guard = Command::new(std::env::current_exe().unwrap());
    guard.args(["commands::work::guard::tests::is_the_guard", "--exact", "--quiet", "--nocapture"]);
    guard.env(tests::IS_GUARD, "1");
    guard
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::*;

    pub(super) const IS_GUARD: &str = "FLOWLORD_TEST_IS_GUARD";

    const PATIENCE: Duration = Duration::from_secs(30);

    /// The guard of the other tests' commands; does nothing by itself.
    #[test]
    fn is_the_guard() {
        if std::env::var_os(IS_GUARD).is_some() {
            let _code = run();
            // Without the lines that a test ends with.
            std::process::exit(0);
        }
    }

    fn order(script: &str) -> StartOrder {
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        StartOrder { command, set: Vec::new(), removed: Vec::new(), input: CommandInput::Line("in".to_owned()) }
    }

    async fn is_gone(pid: i32) {
        let status = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let is_running =
            || !matches!(status().rsplit(") ").next().and_then(|rest| rest.chars().next()), None | Some('Z'));
        let gone = async {
            while is_running() {
                sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(PATIENCE, gone).await.expect("it ends");
    }

    #[tokio::test]
    async fn a_status_comes_as_the_system_told_it() {
        for (script, code, signal) in
            [("exit 3", Some(3), None), ("kill -9 $$", None, Some(9)), ("kill -1 0", None, Some(1))]
        {
            let mut guarded = GuardedCommand::start(&order(script)).await.unwrap();
            let status = timeout(PATIENCE, guarded.ended()).await.expect("it ends").unwrap();
            assert_eq!((status.code(), status.signal()), (code, signal), "{script}");
        }
    }

    #[tokio::test]
    async fn kept_input_is_open_until_it_is_ended_and_a_signal_asks_the_command_to_end() {
        let lines =
            StartOrder { input: CommandInput::Kept, ..order("while read -r line; do echo \"<$line>\"; done; exit 4") };
        let mut guarded = GuardedCommand::start(&lines).await.unwrap();
        let mut output = BufReader::new(guarded.output().0.unwrap()).lines();
        for line in ["one", "t\u{fc} \"2\""] {
            guarded.send_line(line).await.unwrap();
            // The guard of the tests writes lines of its own.
            let is_echoed =
                async { while output.next_line().await.unwrap().expect("a line") != format!("<{line}>") {} };
            timeout(PATIENCE, is_echoed).await.expect("it reads on");
        }
        guarded.end_input().await.unwrap();
        assert_eq!(timeout(PATIENCE, guarded.ended()).await.expect("it ends").unwrap().code(), Some(4));

        let mut guarded = GuardedCommand::start(&lines).await.unwrap();
        guarded.terminate();
        assert_eq!(timeout(PATIENCE, guarded.ended()).await.expect("it ends").unwrap().signal(), Some(15));
    }

    #[tokio::test]
    async fn a_command_that_cannot_be_started_says_why_as_the_system_does() {
        let mut order = order("");
        order.command = vec!["/is/not/there".to_owned()];
        assert_eq!(GuardedCommand::start(&order).await.unwrap_err().kind(), io::ErrorKind::NotFound);
        order.command = vec!["/".to_owned()];
        assert_eq!(GuardedCommand::start(&order).await.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        order.command = vec!["true".to_owned(), "x".repeat(200_000)];
        let too_long = GuardedCommand::start(&order).await.unwrap_err();
        assert_eq!(too_long.kind(), io::ErrorKind::ArgumentListTooLong);
    }

    #[tokio::test]
    async fn a_command_ends_with_its_worker_and_with_its_guard() {
        // As for a worker that was killed: all that it leaves is a closed socket.
        let mut guarded = GuardedCommand::start(&order("sleep 1000 & wait")).await.unwrap();
        let group = guarded.group.take().unwrap().as_raw_nonzero().get();
        drop(guarded);
        is_gone(group).await;

        let mut guarded = GuardedCommand::start(&order("sleep 1000 & wait")).await.unwrap();
        let group = guarded.group.unwrap().as_raw_nonzero().get();
        guarded.guard.start_kill().unwrap();
        let err = timeout(PATIENCE, guarded.ended()).await.expect("it ends").unwrap_err();
        assert!(err.to_string().contains("guards the command"), "{err}");
        drop(guarded);
        is_gone(group).await;
    }

    #[tokio::test]
    async fn signals_that_a_service_manager_sends_to_everything_leave_the_guard_alone() {
        let mut guarded =
            GuardedCommand::start(&order("read -r line; trap 'exit 7' TERM; kill -TERM $PPID; kill -TERM $$"))
                .await
                .unwrap();
        let status = timeout(PATIENCE, guarded.ended()).await.expect("it ends").unwrap();
        assert_eq!(status.code(), Some(7));
    }
}
