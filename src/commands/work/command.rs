//! Running the command for one task: its arguments and input, and what its end means.

use std::io;
use std::process::ExitStatus;

use tokio::time::timeout;

use super::answer::WorkerLine;
use super::client::{GrantedTask, TaskOutcome};
use super::fit::{SystemLimits, fit_command};
use super::guard::{CommandInput, GuardedCommand, StartOrder};
use super::lines::{KeptPart, LastLine};
use super::output::{LINGER, MAX_MESSAGE_BYTES, pass_on};
use super::splitter::LineSplitter;
use super::task_log::TaskLog;
use super::template::CommandTask;

// Exit codes with a meaning of their own; the lower one is EX_TEMPFAIL of old.
const ALERT: i32 = 75;
const WARN: i32 = 76;

// The service takes no larger result.
const MAX_META_BYTES: usize = 8 * 1024 * 1024;

/// Runs the command for a task. Dropping the future kills it.
pub(super) async fn run(
    command: &[String],
    task: &CommandTask,
    worker: &str,
    task_log: &TaskLog,
) -> io::Result<TaskOutcome> {
    let fitted = match fit_command(command, task, worker, SystemLimits::of_system()) {
        Ok(fitted) => fitted,
        Err(what) => return Ok(TaskOutcome::new("alert", what)),
    };
    let order = StartOrder {
        command: fitted.command,
        set: fitted.set,
        removed: fitted.removed,
        input: CommandInput::Line(task.json()),
    };
    match GuardedCommand::start(&order).await {
        Ok(guarded) => finish_command(guarded, task.granted(), task_log).await,
        Err(err) if err.kind() == io::ErrorKind::ArgumentListTooLong => Ok(TaskOutcome::new(
            "alert",
            "the operating system refuses the command's arguments and environment as too long: read the task from stdin instead",
        )),
        Err(err) => Err(err),
    }
}

async fn finish_command(
    mut guarded: GuardedCommand,
    granted: &GrantedTask,
    task_log: &TaskLog,
) -> io::Result<TaskOutcome> {
    let (stdout, stderr) = guarded.output();
    let mut last_out = LastLine::new(KeptPart::Beginning(MAX_META_BYTES));
    let mut last_err = LastLine::new(KeptPart::End(MAX_MESSAGE_BYTES));
    let mut answers = StdioAnswers::default();
    let status = {
        let output = async {
            let out = pass_on(stdout, tokio::io::stdout(), |bytes| {
                last_out.take(bytes);
                task_log.take(bytes);
                answers.look(bytes, granted);
            });
            let err = pass_on(stderr, tokio::io::stderr(), |bytes| {
                last_err.take(bytes);
                task_log.take(bytes);
            });
            tokio::join!(out, err)
        };
        tokio::pin!(output);
        tokio::select! {
            status = guarded.ended() => {
                // What was written before the end is still on its way.
                let _ = timeout(LINGER, &mut output).await;
                status
            }
            _ = &mut output => guarded.ended().await,
        }
    };
    if let Some(outcome) = answers.found {
        log::warn!(
            "event=stdio_worker lease={} detail=\"the command wrote its task as done to stdout, whose result counts: run it \
             with --stdio\"",
            granted.lease
        );
        return Ok(outcome);
    }
    Ok(match status {
        Ok(status) => outcome_of(status, last_out.finish(), &last_err.finish().0),
        // Nobody knows how far the command came: it is killed.
        Err(err) => TaskOutcome::new("error", err.to_string()),
    })
}

/// Looks for the answer of a worker that was to be run with `--stdio`: its exit code says nothing.
#[derive(Default)]
struct StdioAnswers {
    lines: LineSplitter,
    found: Option<TaskOutcome>,
}

impl StdioAnswers {
    fn look(&mut self, bytes: &[u8], granted: &GrantedTask) {
        self.lines.add(bytes);
        while let Some(line) = self.lines.next_line() {
            if let WorkerLine::Answer(outcome) = WorkerLine::read(&line, Some(granted)) {
                self.found = Some(outcome);
            }
        }
    }
}

fn outcome_of(status: ExitStatus, (out, is_cut): (String, bool), err: &str) -> TaskOutcome {
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
    match out.strip_prefix("meta ") {
        // Half of it must not count as all.
        Some(_) if is_cut => TaskOutcome::new(
            "error",
            format!("the line of meta is longer than {MAX_META_BYTES} bytes: keep such values in a file"),
        ),
        Some(meta) => TaskOutcome { result, msg, meta: meta.trim().to_owned() },
        None => TaskOutcome::new(result, msg),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::client::GrantedTask;
    use super::*;

    fn view() -> CommandTask {
        let task = json!({ "type": "load", "job": "hour", "info": "a b;c", "meta": "rows=7" });
        CommandTask::new(&GrantedTask { lease: "l".into(), attempt: 1, task })
    }

    async fn sh(script: &str) -> TaskOutcome {
        let command = ["sh", "-c", script, "sh", "{info}", "{meta:rows}"].map(str::to_owned);
        run(&command, &view(), "w", &TaskLog::new(false)).await.unwrap()
    }

    #[tokio::test]
    async fn exit_codes_become_results_and_the_last_line_of_stderr_the_message() {
        assert_eq!(sh("exit 0").await, TaskOutcome::new("complete", ""));
        assert_eq!(
            sh("echo first >&2; echo 'no space left' >&2; exit 3").await,
            TaskOutcome::new("error", "no space left")
        );
        assert_eq!(sh("printf 'look at this' >&2; exit 75").await, TaskOutcome::new("alert", "look at this"));
        assert_eq!(sh("exit 76").await, TaskOutcome::new("warn", "exit status: 76"));
        assert_eq!(sh("kill -9 $$").await, TaskOutcome::new("error", "signal: 9 (SIGKILL)"));
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
        assert_eq!(
            run(&missing, &view(), "w", &TaskLog::new(false)).await.unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }

    #[tokio::test]
    async fn a_message_is_what_a_terminal_shows_and_of_a_long_one_the_end() {
        let script = r"printf '10%%\r90%%\r\033[K\033[31mno space\033[0m\a left\n\033[0m' >&2; exit 3";
        assert_eq!(sh(script).await, TaskOutcome::new("error", "no space left"));
        let long = sh("head -c 300000 /dev/zero | tr '\\0' x >&2; printf ' out of memory' >&2; exit 1").await;
        assert!(long.msg.ends_with("xx out of memory") && long.msg.len() == MAX_MESSAGE_BYTES, "{}", long.msg.len());
    }

    #[tokio::test]
    async fn meta_is_found_behind_colours_and_redraws_and_half_of_it_is_none() {
        assert_eq!(sh(r"printf '50%%\r\033[32mmeta a=1\033[0m\n\033[0m'").await.meta, "a=1");
        let long = sh("printf 'meta a='; head -c 9000000 /dev/zero | tr '\\0' x").await;
        assert_eq!((long.result, long.meta.as_str()), ("error", ""));
        assert!(long.msg.contains("the line of meta is longer than"), "{}", long.msg);
    }

    async fn with_info(info: String, word: &str, script: &str) -> TaskOutcome {
        let task = json!({ "type": "load", "info": info, "meta": "rows=7" });
        let view = CommandTask::new(&GrantedTask { lease: "l".into(), attempt: 1, task });
        run(&["sh", "-c", script, "sh", word].map(str::to_owned), &view, "w", &TaskLog::new(false)).await.unwrap()
    }

    #[tokio::test]
    async fn what_no_variable_can_hold_is_on_stdin_and_named() {
        let script = r#"read -r task; test ${#task} -gt 200000 || exit 1
            test "$FLOWLORD_TRUNCATED" = FLOWLORD_INFO || exit 2
            test -z "$FLOWLORD_INFO" || exit 3
            test "$FLOWLORD_META_ROWS" = 7 || exit 4"#;
        let outcome = with_info("x".repeat(200_000), "{type}", script).await;
        assert_eq!(outcome, TaskOutcome::new("complete", ""));
        let outcome = with_info("short".to_owned(), "{type}", r#"test -z "$FLOWLORD_TRUNCATED""#).await;
        assert_eq!(outcome, TaskOutcome::new("complete", ""));
    }

    #[tokio::test]
    async fn what_the_system_takes_of_all_together_is_kept_to() {
        let meta: Vec<String> = (0..100).map(|n| format!("k{n}={}", "x".repeat(100_000))).collect();
        let task = json!({ "type": "load", "job": "short", "info": "x".repeat(120_000), "meta": meta.join("&") });
        let view = CommandTask::new(&GrantedTask { lease: "l".into(), attempt: 1, task });
        let script = r#"test -n "$FLOWLORD_TRUNCATED" && test "$FLOWLORD_JOB" = short"#;
        let mut command = ["sh", "-c", script].map(str::to_owned).to_vec();
        assert_eq!(run(&command, &view, "w", &TaskLog::new(false)).await.unwrap(), TaskOutcome::new("complete", ""));
        command.extend(vec!["{info}".to_owned(); 100]);
        let outcome = run(&command, &view, "w", &TaskLog::new(false)).await.unwrap();
        assert_eq!(outcome.result, "alert");
        assert!(outcome.msg.starts_with("the arguments have 12"), "{}", outcome.msg);
    }

    #[tokio::test]
    async fn an_argument_that_does_not_fit_is_an_alert() {
        for info in ["x".repeat(131_072), "a\0b".to_owned()] {
            let outcome = with_info(info, "{info}", "exit 0").await;
            assert_eq!(outcome.result, "alert");
            assert!(outcome.msg.contains("argument 4 ({info}) would"), "{}", outcome.msg);
        }
        assert_eq!(with_info("x".repeat(131_071), "{info}", "exit 0").await.result, "complete");
    }
}
