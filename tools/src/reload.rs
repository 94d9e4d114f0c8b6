//! A reload of many phases, next to reading and hashing the same files in the same run.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use sha2::{Digest as _, Sha256};

use crate::client::HttpClient;
use crate::server::{BenchService, file_name, find_flowlord};
use crate::timing::{median_of, milliseconds_since};

/// Runs every part `rounds` times, in turns, and prints the median of each and its ratio to the bare reading.
pub(crate) async fn measure_reload(files: usize, phases: usize, rounds: usize) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    let phases = phases.div_ceil(files);
    let texts: Vec<_> = (0..files).map(|file| file_text(file, phases, 0)).collect();
    let service = BenchService::start_with(&find_flowlord()?, &texts).await?;
    let mut client = HttpClient::connect_to(&service.address).await?;
    writeln!(
        out,
        "{files} files, {} phases; ready after {:.0} ms",
        files * phases,
        service.ready_after.as_secs_f64() * 1e3
    )?;
    let mut bare_ms = Vec::new();
    let mut parts = [("none", 0), ("one", 1), ("all", files)].map(|(name, count)| (name, count, Vec::new()));
    for round in 1..=rounds {
        for (_, changed_files, times_ms) in &mut parts {
            for file in 0..*changed_files {
                fs::write(service.workflows.join(file_name(file)), file_text(file, phases, round))?;
            }
            let begun = Instant::now();
            client.post_json("/api/v1/workflows/refresh", "").await?;
            times_ms.push(milliseconds_since(begun));
        }
        bare_ms.push(read_and_hash(&service.workflows)?);
    }
    let bare_ms = median_of(bare_ms)?;
    writeln!(out, "bare read and hash            {bare_ms:>8.1} ms")?;
    for (name, _, times_ms) in parts {
        let time_ms = median_of(times_ms)?;
        let part = format!("reload, {name} changed");
        writeln!(out, "{part:<28}  {time_ms:>8.1} ms  {:>6.1} x bare", time_ms / bare_ms)?;
    }
    Ok(())
}

fn file_text(file: usize, phases: usize, round: usize) -> String {
    (0..phases).map(|phase| phase_text(file, phase, round)).collect()
}

/// Every third phase has a schedule, the others follow it.
fn phase_text(file: usize, phase: usize, round: usize) -> String {
    let start = match phase % 3 {
        0 => format!("rule = \"cron={} {} * * *&offset=-1h&retry_delay=30s\"", phase % 60, phase / 60 % 24),
        after => format!("dependsOn = \"job{file}:{}\"", phase - after),
    };
    format!(
        "[[phase]]\ntask = \"job{file}:{phase}\"\n{start}\nretry = 3\ntemplate = \"?day={{yyyy}}-{{mm}}-{{dd}}&r={round}\"\n\n"
    )
}

fn read_and_hash(folder: &Path) -> anyhow::Result<f64> {
    let begun = Instant::now();
    for entry in fs::read_dir(folder)? {
        // Else the compiler may leave out what nobody reads.
        std::hint::black_box(Sha256::digest(fs::read(entry?.path())?));
    }
    Ok(milliseconds_since(begun))
}
