//! The signals that ask the program to end, or to read its files again.

use std::io;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

#[derive(Debug)]
pub(crate) struct SignalListener {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    /// None where the program was started with it ignored.
    hangup: Option<Signal>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CaughtSignal {
    Terminate,
    Interrupt,
    Quit,
    Hangup,
}

impl SignalListener {
    /// Listens from now on; a signal no longer ends the process by itself. Under `nohup` a hangup stays ignored.
    pub(crate) fn listen() -> io::Result<Self> {
        let hangup = if is_hangup_ignored() { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup,
        })
    }

    /// As [`Self::listen`], for a program that a hangup doesn't end: it is heard under `nohup`, too.
    pub(crate) fn listen_for_reloads() -> io::Result<Self> {
        Ok(Self { hangup: Some(signal(SignalKind::hangup())?), ..Self::listen()? })
    }

    pub(crate) async fn next(&mut self) -> CaughtSignal {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => drop(hangup.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => CaughtSignal::Terminate,
            _ = self.interrupt.recv() => CaughtSignal::Interrupt,
            _ = self.quit.recv() => CaughtSignal::Quit,
            () = hangup => CaughtSignal::Hangup,
        }
    }
}

/// Whether this process was started with SIGHUP ignored; no where the system doesn't say.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    is_first_signal_ignored(&status)
}

fn is_first_signal_ignored(status: &str) -> bool {
    // SIGHUP is signal 1: the lowest bit of the mask.
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

impl CaughtSignal {
    /// Its exit code as a shell says it, 128 and the signal's number, and its name.
    fn code_and_name(self) -> (u8, &'static str) {
        match self {
            Self::Terminate => (143, "SIGTERM"),
            Self::Interrupt => (130, "SIGINT"),
            Self::Quit => (131, "SIGQUIT"),
            Self::Hangup => (129, "SIGHUP"),
        }
    }

    pub(crate) fn code(self) -> u8 {
        self.code_and_name().0
    }

    pub(crate) fn exit_code(self) -> ExitCode {
        ExitCode::from(self.code())
    }

    pub(crate) fn name(self) -> &'static str {
        self.code_and_name().1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nohup_is_known_by_the_lowest_bit_of_what_is_ignored() {
        for (mask, ignored) in
            [("0000000000000001", true), ("0000000000001001", true), ("0000000000001000", false), ("x", false)]
        {
            let status = format!("Name:\tflowlord\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\n");
            assert_eq!(is_first_signal_ignored(&status), ignored, "{mask}");
        }
        assert!(!is_first_signal_ignored(""));
    }
}
