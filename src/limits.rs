//! What the system lets this process have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many files may be open, a connection being one, raised to what is allowed; none when there is no bound.
pub(crate) fn open_files() -> Option<usize> {
    let limit = getrlimit(Resource::Nofile);
    // Shells and service managers often start programs with 1,024, and allow far more.
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // What can't be raised stays as it is.
    let current = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    current.map(|files| usize::try_from(files).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_raised_to_what_is_allowed() {
        let files = open_files();
        assert_eq!(getrlimit(Resource::Nofile).current.map(|current| usize::try_from(current).unwrap()), files);
    }
}
