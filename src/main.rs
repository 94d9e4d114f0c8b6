//! The flowlord program: see [`commands`].

mod commands;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    // The first provider counts for the whole process; an error means that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    commands::Cli::parse().run()
}
