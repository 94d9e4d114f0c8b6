//! Programs that are neither Rust nor a C compiler, which some tests need.

use std::io::Write as _;
use std::path::Path;

/// The variable that turns "not run" into a failure; `.ci/run` sets it, after it installed every program.
const REQUIRED: &str = "TEST_PROGRAMS";

/// Whether each of these programs is on the `PATH`. The first that is missing is reported by [`not_run`].
///
/// ```
/// if !flowlord_testkit::can_run(&["sh"]) {
///     return;
/// }
/// ```
///
/// # Panics
///
/// When one is missing and `TEST_PROGRAMS=required` is set.
#[must_use]
pub fn can_run(programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| !is_on_path(program));
    if let Some(program) = missing {
        not_run(program);
    }
    missing.is_none()
}

/// Reports that the running test ended without testing anything, for want of something that the machine lacks.
///
/// The line `not run: needs WHAT (TEST)` goes to stderr itself, which `cargo test` doesn't capture.
///
/// # Panics
///
/// When `TEST_PROGRAMS=required` is set.
pub fn not_run(what: &str) {
    assert!(std::env::var(REQUIRED).is_err(), "needs {what}, and {REQUIRED} is set: install it first");
    let thread = std::thread::current();
    let line = format!("not run: needs {what} ({})\n", thread.name().unwrap_or("unnamed test"));
    // One write, so that lines of tests that run side by side stay whole.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| is_executable(&folder.join(program)))
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;

    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    path.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_looked_up_on_the_path() {
        assert!(is_on_path("sh"));
        assert!(!is_on_path("flowlord-has-no-such-program"));
        // A folder is no program, and neither is a file that can't be executed.
        assert!(!is_executable(Path::new("/")));
        assert!(!is_executable(&Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")));
    }
}
