//! A reload: many phases looked at again, next to reading and hashing the same files in the same run.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use crate::client::Client;
use crate::server::Flowlord;

/// How many files of `phases` altogether are changed before a look.
#[derive(Debug, Clone, Copy)]
enum Changed {
    None,
    One,
    All,
}

/// Runs every part `rounds` times, in turns, and prints the median of each and its ratio to the bare reading.
pub(crate) async fn run(files: usize, phases: usize, rounds: usize) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    let texts: Vec<_> = (0..files).map(|file| text(file, phases.div_ceil(files), 0)).collect();
    let flowlord = Flowlord::start_with(&texts).await?;
    let folder = flowlord.workflows();
    let mut client = Client::connect(&flowlord.address).await?;
    let count = files * phases.div_ceil(files);
    writeln!(
        out,
        "{files} files, {count} phases; ready after {:.0} ms",
        flowlord.ready_after.as_secs_f64() * 1e3
    )?;
    let mut bare = Vec::new();
    let parts = [Changed::None, Changed::One, Changed::All];
    let mut looks = parts.map(|part| (part, Vec::new()));
    for round in 1..=rounds {
        for (part, times) in &mut looks {
            let change = match part {
                Changed::None => 0,
                Changed::One => 1,
                Changed::All => files,
            };
            for file in 0..change {
                fs::write(folder.join(name(file)), text(file, phases.div_ceil(files), round))?;
            }
            let begun = Instant::now();
            client.post("/api/v1/workflows/refresh", "").await?;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        bare.push(read_and_hash(&folder)?);
    }
    let bare = median(&mut bare)?;
    writeln!(out, "bare read and hash            {bare:>8.1} ms")?;
    for (part, mut times) in looks {
        let time = median(&mut times)?;
        let part = format!("reload, {} changed", format!("{part:?}").to_lowercase());
        writeln!(out, "{part:<28}  {time:>8.1} ms  {:>6.1} x bare", time / bare)?;
    }
    Ok(())
}

pub(crate) fn name(file: usize) -> String {
    format!("{file:04}.toml")
}

/// Every third phase has a schedule of its own, the others follow it.
fn text(file: usize, phases: usize, round: usize) -> String {
    let phase = |n: usize| {
        let first = n - n % 3;
        let when = match n % 3 {
            0 => format!("rule = \"cron={} {} * * *&offset=-1h&retry_delay=30s\"", n % 60, n / 60 % 24),
            _ => format!("dependsOn = \"job{file}:{first}\""),
        };
        format!(
            "[[phase]]\ntask = \"job{file}:{n}\"\n{when}\nretry = 3\ntemplate = \"?day={{yyyy}}-{{mm}}-{{dd}}&r={round}\"\n\n"
        )
    };
    (0..phases).map(phase).collect()
}

/// Milliseconds.
fn read_and_hash(folder: &Path) -> anyhow::Result<f64> {
    let begun = Instant::now();
    for entry in fs::read_dir(folder)? {
        std::hint::black_box(Sha256::digest(fs::read(entry?.path())?));
    }
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

fn median(times: &mut [f64]) -> anyhow::Result<f64> {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().context("no rounds")
}
