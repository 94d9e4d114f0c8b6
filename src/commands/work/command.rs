//! Running the command for one task, in a process group of its own so that it ends with all it started.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::client::Outcome;
use super::template::TaskView;

/// The exit codes with a meaning of their own; the lower one is EX_TEMPFAIL of old.
const ALERT: i32 = 75;
const WARN: i32 = 76;

/// What is kept of a line at most.
const LONGEST_LINE: usize = 64 * 1024;

/// How long the command's output may stay open after its end, by something that it left behind.
const LINGER: Duration = Duration::from_millis(500);

/// Runs the command for a task. Dropping the future kills it.
pub(super) async fn run(command: &[String], task: &TaskView, worker: &str) -> io::Result<Outcome> {
    let mut running = Running(start(command, task, worker)?);
    let child = &mut running.0;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (mut last_out, mut last_err) = (LastLine::default(), LastLine::default());
    let status = {
        let output = async {
            let out = pass_on(stdout, tokio::io::stdout(), &mut last_out);
            let err = pass_on(stderr, tokio::io::stderr(), &mut last_err);
            tokio::join!(feed(stdin, task.json()), out, err)
        };
        tokio::pin!(output);
        tokio::select! {
            status = child.wait() => {
                // What was written before the end is still on its way.
                let _ = timeout(LINGER, &mut output).await;
                status?
            }
            _ = &mut output => child.wait().await?,
        }
    };
    Ok(outcome(status, &last_out.text(), &last_err.text()))
}

fn start(command: &[String], task: &TaskView, worker: &str) -> io::Result<Child> {
    let mut words = command.iter().map(|word| task.render(word));
    let program = words.next().unwrap_or_default();
    Command::new(program)
        .args(words)
        .envs(task.variables(worker))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// A command that is killed, with everything it started, unless it ended by itself.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let id = self.0.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(id) = id {
            // It may have ended a moment ago.
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}

async fn feed(stdin: Option<impl AsyncWrite + Unpin>, text: &str) {
    if let Some(mut stdin) = stdin {
        // A command that doesn't read its input closes it.
        let _ = stdin.write_all(text.as_bytes()).await;
        let _ = stdin.write_all(b"\n").await;
    }
}

/// Passes output on and keeps its last line.
async fn pass_on(from: Option<impl AsyncRead + Unpin>, mut to: impl AsyncWrite + Unpin, line: &mut LastLine) {
    let Some(mut from) = from else { return };
    let mut buffer = vec![0; 8 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        line.take(&buffer[..read]);
        let _ = to.write_all(&buffer[..read]).await;
        let _ = to.flush().await;
    }
}

/// The last line that isn't empty.
#[derive(Debug, Default)]
struct LastLine {
    whole: Vec<u8>,
    current: Vec<u8>,
}

impl LastLine {
    fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = piece.strip_suffix(b"\n").map_or((piece, false), |text| (text, true));
            let room = LONGEST_LINE - self.current.len();
            self.current.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                self.end();
            }
        }
    }

    fn end(&mut self) {
        if !self.current.trim_ascii().is_empty() {
            std::mem::swap(&mut self.whole, &mut self.current);
        }
        self.current.clear();
    }

    fn text(mut self) -> String {
        self.end();
        String::from_utf8_lossy(&self.whole).trim().to_owned()
    }
}

fn outcome(status: ExitStatus, out: &str, err: &str) -> Outcome {
    let result = match status.code() {
        Some(0) => "complete",
        Some(ALERT) => "alert",
        Some(WARN) => "warn",
        _ => "error",
    };
    let msg = match (status.success(), err) {
        (true, _) => String::new(),
        (false, "") => status.to_string(),
        (false, err) => err.to_owned(),
    };
    let meta = out.strip_prefix("meta ").unwrap_or_default().trim().to_owned();
    Outcome { result, msg, meta }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::client::Granted;
    use super::*;

    fn view() -> TaskView {
        let task = json!({ "type": "load", "job": "hour", "info": "a b;c", "meta": "rows=7" });
        TaskView::new(&Granted { lease: "l".into(), attempt: 1, task })
    }

    async fn sh(script: &str) -> Outcome {
        let command = ["sh", "-c", script, "sh", "{info}", "{meta:rows}"].map(str::to_owned);
        run(&command, &view(), "w").await.unwrap()
    }

    #[tokio::test]
    async fn exit_codes_become_results_and_the_last_line_of_stderr_the_message() {
        assert_eq!(sh("exit 0").await, Outcome::new("complete", ""));
        assert_eq!(
            sh("echo first >&2; echo 'no space left' >&2; exit 3").await,
            Outcome::new("error", "no space left")
        );
        assert_eq!(sh("printf 'look at this' >&2; exit 75").await, Outcome::new("alert", "look at this"));
        assert_eq!(sh("exit 76").await, Outcome::new("warn", "exit status: 76"));
        assert_eq!(sh("kill -9 $$").await, Outcome::new("error", "signal: 9 (SIGKILL)"));
    }

    #[tokio::test]
    async fn arguments_environment_and_input_tell_the_task() {
        let script = r#"read -r task; echo "$task" | grep -q '"type":"load"' || exit 1
            test "$1/$2" = 'a b;c/7' || exit 2
            test "$FLOWLORD_JOB/$FLOWLORD_META_ROWS" = hour/7 || exit 3
            echo working; echo "meta file=/x/$1&n=1""#;
        let outcome = sh(script).await;
        assert_eq!((outcome.result, outcome.meta.as_str()), ("complete", "file=/x/a b;c&n=1"), "{outcome:?}");
    }

    #[tokio::test]
    async fn meta_counts_on_the_last_line_only_and_a_command_may_ignore_its_input() {
        assert_eq!(sh("echo 'meta a=1'; echo done").await.meta, "");
        assert_eq!(sh("exec <&-; echo 'meta a=1'; echo").await.meta, "a=1");
    }

    #[tokio::test]
    async fn something_left_behind_does_not_hold_up_the_result() {
        let outcome = timeout(Duration::from_secs(30), sh("sleep 5 & echo meta a=1")).await.unwrap();
        assert_eq!(outcome.meta, "a=1");
    }

    #[tokio::test]
    async fn a_command_that_is_not_there_is_an_error() {
        let missing = ["/is/not/there".to_owned()];
        assert_eq!(run(&missing, &view(), "w").await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn of_a_line_without_an_end_only_so_much_is_kept() {
        let mut line = LastLine::default();
        for _ in 0..100 {
            line.take(&[b'x'; 4096]);
        }
        assert_eq!(line.text().len(), LONGEST_LINE);
        let mut line = LastLine::default();
        line.take(b"a\nb");
        line.take(b"c\n\n  \n");
        assert_eq!(line.text(), "bc");
    }
}
