//! Workers of the reference system, whose launcher reads tasks from its stdin, one line each, and writes each done task
//! to its stdout. Such a process stays for many tasks, and its exit code says nothing of them.

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::ChildStdout;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::answer::WorkerLine;
use super::backoff::until_answered;
use super::client::{ApiClient, ApiRefusal, ForeignBody, GrantedTask, TaskOutcome};
use super::guard::{CommandInput, GuardedCommand, StartOrder};
use super::hold::{keep_lease, post_result};
use super::lines::{KeptPart, LastLine};
use super::output::{LINGER, MAX_MESSAGE_BYTES, pass_on};
use super::splitter::LineSplitter;
use super::task_log::TaskLog;
use super::worker::{CommandWorker, give_back};

/// A launcher ends, without a word, at a line of 64 KiB.
const MAX_TASK_BYTES: usize = 65_000;

/// How long a worker may take to end; its launcher itself waits 10 s for a task that doesn't listen.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

/// A worker that ends so often with a task in hand, and answers none in between, is broken.
const MAX_ENDS_IN_A_ROW: u8 = 5;

/// A slot whose process gets one task after the other.
#[derive(Debug)]
pub(super) struct StdioSlot {
    worker: Rc<CommandWorker>,
    /// None where the last one ended.
    process: Option<StdioProcess>,
    ends_in_a_row: u8,
    task_log: TaskLog,
}

impl StdioSlot {
    pub(super) async fn start(worker: &Rc<CommandWorker>) -> anyhow::Result<Self> {
        let task_log = TaskLog::new(worker.sends_logs);
        let mut slot = Self { worker: Rc::clone(worker), process: None, ends_in_a_row: 0, task_log };
        slot.ensure_process().await?;
        Ok(slot)
    }

    async fn ensure_process(&mut self) -> anyhow::Result<&mut StdioProcess> {
        let process = match self.process.take() {
            Some(process) => process,
            None => StdioProcess::start(&self.worker, &self.task_log)
                .await
                .with_context(|| format!("{} can't be started", self.worker.command[0]))?,
        };
        Ok(self.process.insert(process))
    }

    /// Passes on what the process writes between two tasks, until the future is dropped.
    pub(super) async fn drain(&mut self) -> Infallible {
        if let Some(process) = &mut self.process {
            let end = process.end_without_answer(&self.worker.client).await;
            log::warn!("event=worker_ended end={end:?} detail=\"it had no task; the next one gets a new one\"");
            self.process = None;
        }
        std::future::pending().await
    }

    /// Gives a task to the process, and posts what it answers.
    pub(super) async fn run_task(&mut self, granted: &GrantedTask) -> anyhow::Result<()> {
        let worker = Rc::clone(&self.worker);
        if let Err(err) = self.ensure_process().await {
            // Another worker may have the command.
            give_back(&worker, granted, "10s").await;
            return Err(err);
        }
        let task_log = self.task_log.clone();
        let work = task_log.send_while(&worker.client, &granted.lease, self.answer(granted));
        let outcome = match keep_lease(&worker.client, granted, &worker.wanted.lease, work).await {
            Ok(outcome) => Some(outcome),
            Err(end) => {
                self.stop().await;
                end.outcome()
            }
        };
        if let Some(outcome) = outcome {
            post_result(&worker.client, granted, &outcome).await;
        }
        let command = &worker.command[0];
        anyhow::ensure!(
            self.ends_in_a_row < MAX_ENDS_IN_A_ROW,
            "{command} ended {MAX_ENDS_IN_A_ROW} times in a row with a task in hand and without an answer: see its output; \
             `flowlord work` without --stdio runs a command that takes one task"
        );
        Ok(())
    }

    async fn answer(&mut self, granted: &GrantedTask) -> TaskOutcome {
        let line = granted.task.to_string();
        if line.len() > MAX_TASK_BYTES {
            let detail = format!(
                "the task has {} bytes as JSON, and its worker reads at most {MAX_TASK_BYTES}: keep such texts in a file",
                line.len()
            );
            return TaskOutcome::new("alert", detail);
        }
        let Some(process) = &mut self.process else { return TaskOutcome::new("error", "there is no worker") };
        match process.answer(&self.worker.client, granted, &line).await {
            Ok(outcome) => {
                self.ends_in_a_row = 0;
                outcome
            }
            Err(end) => {
                self.process = None;
                self.ends_in_a_row += 1;
                TaskOutcome::new("error", end)
            }
        }
    }

    /// Ends the process, and what it works on: asks it first.
    pub(super) async fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        process.guarded.terminate();
        // Dropping it kills it.
        let _ = timeout(STOP_PATIENCE, process.end_without_answer(&self.worker.client)).await;
    }

    /// Lets the process end by itself.
    pub(super) async fn finish(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let _ = process.guarded.end_input().await;
        if timeout(STOP_PATIENCE, process.end_without_answer(&self.worker.client)).await.is_err() {
            log::warn!("event=worker_killed detail=\"it didn't end within 15 s of the end of its input\"");
        }
    }
}

/// A process that takes tasks until its input ends.
#[derive(Debug)]
struct StdioProcess {
    guarded: GuardedCommand,
    output: ProcessOutput,
    /// The last line of its stderr, since it got its last task.
    last_error: Rc<RefCell<LastLine>>,
    /// Passes on its stderr, until that ends.
    errors: JoinHandle<()>,
    task_log: TaskLog,
    /// A file that the service doesn't know yet.
    file: Option<FileReport>,
}

impl StdioProcess {
    async fn start(worker: &CommandWorker, task_log: &TaskLog) -> io::Result<Self> {
        let set = vec![("FLOWLORD_WORKER".to_owned(), worker.wanted.worker.clone())];
        let command = worker.command.clone();
        let order = StartOrder { command, set, removed: Vec::new(), input: CommandInput::Kept };
        let mut guarded = GuardedCommand::start(&order).await?;
        let (stdout, stderr) = guarded.output();
        let last_error = Rc::new(RefCell::new(new_last_line()));
        let (kept, shown) = (Rc::clone(&last_error), task_log.clone());
        let errors = tokio::task::spawn_local(async move {
            let take = |bytes: &[u8]| {
                kept.borrow_mut().take(bytes);
                shown.take(bytes);
            };
            pass_on(stderr, tokio::io::stderr(), take).await;
        });
        Ok(Self {
            guarded,
            output: ProcessOutput { stdout, lines: LineSplitter::default() },
            last_error,
            errors,
            task_log: task_log.clone(),
            file: None,
        })
    }

    /// Gives it a task, and waits for its answer; an error says how it ended without one.
    async fn answer(&mut self, client: &ApiClient, granted: &GrantedTask, line: &str) -> Result<TaskOutcome, String> {
        *self.last_error.borrow_mut() = new_last_line();
        if self.guarded.send_line(line).await.is_ok()
            && let Some(outcome) = self.next_answer(client, Some(granted)).await
        {
            return Ok(outcome);
        }
        let end = self.end().await;
        // What it wrote before its end is still on its way.
        let _ = timeout(LINGER, &mut self.errors).await;
        let last_error = std::mem::replace(&mut *self.last_error.borrow_mut(), new_last_line()).finish().0;
        let separator = if last_error.is_empty() { "" } else { ": " };
        Err(format!("the worker ended ({end}) without an answer{separator}{last_error}"))
    }

    /// Passes on what it writes, until it ends; says how.
    async fn end_without_answer(&mut self, client: &ApiClient) -> String {
        // Without a task there is no answer.
        let _ = self.next_answer(client, None).await;
        self.end().await
    }

    /// Its answer for the leased task; none where its output ended. Dropping the future loses no answer and no file.
    async fn next_answer(&mut self, client: &ApiClient, leased: Option<&GrantedTask>) -> Option<TaskOutcome> {
        loop {
            if let Some(file) = &self.file {
                file.post(client).await;
                self.file = None;
            }
            let guarded = &mut self.guarded;
            let end = async {
                let _ = guarded.ended().await;
                // What was written before the end is still on its way.
                sleep(LINGER).await;
            };
            let line = tokio::select! {
                line = self.output.next_line() => line?,
                () = end => return None,
            };
            match WorkerLine::read(&line, leased) {
                WorkerLine::Answer(outcome) => return Some(outcome),
                WorkerLine::FileStats(stats) => self.file = Some(FileReport::new(stats)),
                WorkerLine::LateAnswer(id) => {
                    log::warn!("event=answer_ignored id={id:?} detail=\"its task is no longer in hand\"");
                }
                WorkerLine::Print => {
                    self.task_log.take(&[&line, &b"\n"[..]].concat());
                    print_line(&line).await;
                }
            }
        }
    }

    /// How it ended; one that only closed its output is killed.
    async fn end(&mut self) -> String {
        match timeout(LINGER, self.guarded.ended()).await {
            Ok(Ok(status)) => name_status(status),
            Ok(Err(err)) => err.to_string(),
            Err(_) => "it closed its output".to_owned(),
        }
    }
}

fn new_last_line() -> LastLine {
    LastLine::new(KeptPart::End(MAX_MESSAGE_BYTES))
}

fn name_status(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

async fn print_line(line: &[u8]) {
    let mut stdout = tokio::io::stdout();
    // Who reads it may be gone, which is nothing to the task.
    let _ = stdout.write_all(&[line, b"\n"].concat()).await;
    let _ = stdout.flush().await;
}

/// The lines that a process writes.
#[derive(Debug)]
struct ProcessOutput<R = ChildStdout> {
    stdout: Option<R>,
    lines: LineSplitter,
}

impl<R: AsyncRead + Unpin> ProcessOutput<R> {
    /// The next line; none at the end. Dropping the future loses nothing.
    async fn next_line(&mut self) -> Option<Vec<u8>> {
        let mut buffer = [0; 8 * 1024];
        loop {
            if let Some(line) = self.lines.next_line() {
                return Some(line);
            }
            match self.stdout.as_mut()?.read(&mut buffer).await {
                Ok(read @ 1..) => self.lines.add(&buffer[..read]),
                Ok(0) | Err(_) => {
                    self.stdout = None;
                    self.lines.end();
                }
            }
        }
    }
}

/// The stats of a file, on their way to the service.
#[derive(Debug)]
struct FileReport {
    stats: Value,
    /// The same for each try, so that the file counts once.
    key: String,
}

impl FileReport {
    fn new(stats: Value) -> Self {
        let text = |name: &str| stats.get(name).and_then(Value::as_str).unwrap_or_default();
        let version: String = [text("checksum"), text("created")].concat();
        let is_usable =
            !version.is_empty() && version.len() <= 200 && version.bytes().all(|byte| byte.is_ascii_graphic());
        let key = if is_usable { version } else { format!("{:032x}", rand::random::<u128>()) };
        Self { stats, key }
    }

    /// Reports it until the service has it, or won't take it.
    async fn post(&self, client: &ApiClient) {
        let path = &self.stats["path"];
        let post =
            async || client.post_foreign::<Value>("/files", Some(&self.key), self.stats.to_string().into_bytes()).await;
        match until_answered("file_waits", &format!("path={path}"), post).await {
            Ok(ForeignBody::Taken(_)) => log::info!("event=file_reported path={path}"),
            Ok(ForeignBody::Refused(detail))
            | Err(ApiRefusal::Lost(detail) | ApiRefusal::Never(detail) | ApiRefusal::Later { detail, .. }) => {
                log::error!("event=file_refused path={path} detail={detail:?}");
            }
        }
    }
}
