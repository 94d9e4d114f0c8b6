//! The flowlord program: see [`commands`].

mod commands;

use std::process::ExitCode;

/// Messages between threads are freed elsewhere than where they were made, which this allocator does well.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The first provider counts for the whole process; an error means that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    commands::run()
}
