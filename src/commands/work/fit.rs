//! What the system takes of a task as arguments and variables of a command. Its stdin has all of it.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use rustix::process::{Resource, getrlimit};

use super::template::CommandTask;

const LEFT_OUT: &str = "FLOWLORD_TRUNCATED";

/// How long the list of those left out may be.
const LONGEST_LIST: usize = 4 * 1024;

#[derive(Debug, Clone, Copy)]
pub(super) struct SystemLimits {
    /// Bytes of one argument or variable.
    each: usize,
    /// Bytes of all of them, but for the environment that the command inherits.
    all: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FittedCommand {
    pub(super) command: Vec<String>,
    pub(super) set: Vec<(String, String)>,
    pub(super) removed: Vec<String>,
}

impl SystemLimits {
    /// As Linux has it: 32 pages for one, a quarter of the stack for all.
    pub(super) fn of_system() -> Self {
        const EACH: usize = 128 * 1024 - 1;
        const MOST: u64 = 6 * 1024 * 1024;
        // The system adds the program's path, and the interpreter of a script.
        const SPARE: usize = 8 * 1024;
        let stack = getrlimit(Resource::Stack).current.unwrap_or(u64::MAX);
        let all = usize::try_from((stack / 4).min(MOST)).unwrap_or(EACH).max(EACH);
        let inherited: usize = std::env::vars_os().map(|(name, value)| bytes_taken(&name) + bytes_taken(&value)).sum();
        Self { each: EACH, all: all.saturating_sub(inherited + SPARE + LONGEST_LIST) }
    }
}

/// The system counts an end and a pointer with each text.
fn bytes_taken(text: impl AsRef<OsStr>) -> usize {
    text.as_ref().len() + 1 + size_of::<usize>()
}

/// The command with the task's values in its arguments, and the variables that fit beside them.
pub(super) fn fit_command(
    command: &[String],
    task: &CommandTask,
    worker: &str,
    limits: SystemLimits,
) -> Result<FittedCommand, String> {
    let command: Vec<String> = command
        .iter()
        .enumerate()
        .map(|(at, word)| render_argument(at, word, task, limits))
        .collect::<Result<_, _>>()?;
    let taken: usize = command.iter().map(bytes_taken).sum();
    let left = limits.all.checked_sub(taken).ok_or_else(|| {
        format!(
            "the arguments have {taken} bytes, and the system allows {} for them and the environment: read the task \
             from stdin instead",
            limits.all
        )
    })?;
    // The last of a name counts.
    let variables: BTreeMap<_, _> = task.variables(worker).into_iter().collect();
    let (set, left_out) = choose_variables(variables, SystemLimits { all: left, ..limits });
    Ok(with_left_out(FittedCommand { command, set, removed: left_out }))
}

fn render_argument(at: usize, word: &str, task: &CommandTask, limits: SystemLimits) -> Result<String, String> {
    let value = task.render(word);
    if value.contains('\0') {
        return Err(format!(
            "{} would contain a NUL byte, which is not allowed: read the task from stdin instead",
            argument_name(at, word)
        ));
    }
    if value.len() > limits.each {
        return Err(format!(
            "{} would have {} bytes, and the system allows {}: read the task from stdin instead",
            argument_name(at, word),
            value.len(),
            limits.each
        ));
    }
    Ok(value)
}

/// An argument in messages, shortened: some are whole scripts.
fn argument_name(at: usize, word: &str) -> String {
    match at {
        0 => "the command".to_owned(),
        at => format!("argument {at} ({})", word.chars().take(60).collect::<String>()),
    }
}

/// The variables that fit, the short ones first, and the names of the others.
fn choose_variables(variables: BTreeMap<String, String>, limits: SystemLimits) -> (Vec<(String, String)>, Vec<String>) {
    let mut variables: Vec<_> = variables.into_iter().collect();
    // So that as many as can be are there.
    variables.sort_by_key(|(name, value)| name.len() + value.len());
    let (mut set, mut left_out, mut left) = (Vec::new(), Vec::new(), limits.all);
    for (name, value) in variables {
        let length = name.len() + 1 + value.len();
        let rest = left.checked_sub(bytes_taken(&name) + bytes_taken(&value));
        match rest.filter(|_| length <= limits.each && !value.contains('\0')) {
            Some(rest) => {
                left = rest;
                set.push((name, value));
            }
            None => left_out.push(name),
        }
    }
    left_out.sort();
    (set, left_out)
}

/// Names what is left out, or keeps the command from inheriting such a list.
fn with_left_out(mut fitted: FittedCommand) -> FittedCommand {
    if fitted.removed.is_empty() {
        fitted.removed.push(LEFT_OUT.to_owned());
        return fitted;
    }
    let mut list = fitted.removed.join(",");
    if list.len() > LONGEST_LIST {
        // Names are ASCII.
        let whole = list[..LONGEST_LIST].rfind(',').unwrap_or_default();
        list.truncate(whole);
        list.push_str(",…");
    }
    fitted.set.push((LEFT_OUT.to_owned(), list));
    fitted
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::client::GrantedTask;
    use super::*;

    fn view(info: &str, meta: &str) -> CommandTask {
        let task: Value = json!({ "type": "load", "job": "j", "info": info, "meta": meta });
        CommandTask::new(&GrantedTask { lease: "l".into(), attempt: 1, task })
    }

    fn fitted(info: &str, meta: &str, limits: SystemLimits) -> FittedCommand {
        fit_command(&["cmd".to_owned(), "{job}".to_owned()], &view(info, meta), "w", limits).unwrap()
    }

    const LIMITS: SystemLimits = SystemLimits { each: 100, all: 10_000 };

    fn value<'a>(fitted: &'a FittedCommand, name: &str) -> Option<&'a str> {
        fitted.set.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn what_fits_is_set_and_no_list_is_inherited() {
        let fitted = fitted("i", "a=1", LIMITS);
        assert_eq!(fitted.command, ["cmd", "j"]);
        assert_eq!((value(&fitted, "FLOWLORD_INFO"), value(&fitted, "FLOWLORD_META_A")), (Some("i"), Some("1")));
        assert_eq!((value(&fitted, LEFT_OUT), &fitted.removed), (None, &vec![LEFT_OUT.to_owned()]));
    }

    #[test]
    fn variables_that_are_too_long_or_hold_a_nul_are_left_out_and_named() {
        let most = "x".repeat(100 - "FLOWLORD_INFO=".len());
        assert_eq!(value(&fitted(&most, "", LIMITS), "FLOWLORD_INFO"), Some(most.as_str()));
        let fitted = fitted(&format!("{most}x"), "a=1&b=%00&c=2", LIMITS);
        assert_eq!(value(&fitted, LEFT_OUT), Some("FLOWLORD_INFO,FLOWLORD_META_B"));
        assert_eq!(fitted.removed, ["FLOWLORD_INFO", "FLOWLORD_META_B"], "none is inherited instead");
        assert_eq!(value(&fitted, "FLOWLORD_META"), Some("a=1&b=%00&c=2"));
    }

    #[test]
    fn the_first_of_a_repeated_key_counts_also_where_it_is_left_out() {
        let fitted = fitted("", &format!("a={}&a=short", "x".repeat(100)), LIMITS);
        assert_eq!(value(&fitted, "FLOWLORD_META_A"), None);
        assert!(value(&fitted, LEFT_OUT).unwrap().contains("FLOWLORD_META_A"));
    }

    #[test]
    fn where_all_are_too_many_the_long_ones_are_left_out() {
        let meta: Vec<String> = (0..40).map(|n| format!("k{n:02}={}", "x".repeat(n))).collect();
        let fitted = fitted("i", &meta.join("&"), SystemLimits { each: 100, all: 1_200 });
        let left_out = value(&fitted, LEFT_OUT).unwrap();
        assert!(left_out.contains("FLOWLORD_META_K39") && !left_out.contains("FLOWLORD_META_K00"), "{left_out}");
        assert_eq!(value(&fitted, "FLOWLORD_JOB"), Some("j"));
    }

    #[test]
    fn a_list_of_many_names_is_cut() {
        let meta: Vec<String> = (0..2_000).map(|n| format!("key{n}=1")).collect();
        let fitted = fitted("i", &meta.join("&"), SystemLimits { each: 5_000, all: 1_000 });
        let list = value(&fitted, LEFT_OUT).unwrap();
        assert!(list.len() <= LONGEST_LIST + 4 && list.ends_with(",…"), "{list}");
    }

    #[test]
    fn an_argument_that_does_not_fit_is_named_with_what_to_do() {
        for (word, info, says) in [
            ("{info}", "x".repeat(101), "argument 1 ({info}) would have 101 bytes, and the system allows 100"),
            ("-i={info}", "a\0b".to_owned(), "argument 1 (-i={info}) would contain a NUL byte"),
        ] {
            let err = fit_command(&["cmd".into(), word.into()], &view(&info, ""), "w", LIMITS).unwrap_err();
            assert!(err.starts_with(says) && err.ends_with("read the task from stdin instead"), "{err}");
        }
        let many = vec!["{info}".to_owned(); 200];
        let err = fit_command(&many, &view(&"x".repeat(90), ""), "w", LIMITS).unwrap_err();
        assert!(err.contains("the arguments have"), "{err}");
        let program = fit_command(&["{info}".into()], &view(&"x".repeat(101), ""), "w", LIMITS).unwrap_err();
        assert!(program.starts_with("the command would have"), "{program}");
    }
}
