//! `flowlord logs`: what the command of a task wrote.

use std::process::ExitCode;
use std::time::Duration;

use flowlord_domain::Uid;
use reqwest::Response;

use super::follow::EventReader;
use crate::commands::args::ServiceArgs;
use crate::commands::listing::{PATIENCE, with_query};
use crate::commands::out::StyledOutput;
use crate::commands::work::client::{ApiClient, ApiRefusal, unreachable_refusal};

const EXAMPLES: &str = "\
Examples:
  flowlord logs 064c0953867001
  flowlord logs -f 064c0953867001
  flowlord logs --tail 4kB 064c0953867001 | grep -i warn

What the worker sent of the command's stdout and stderr. Its colours are kept on a terminal. With -f it goes on until the
attempt ends. Exits with 1 when there is no log.";

/// The service says something at least every 15 seconds; a connection that is silent for this long is dead.
const MAX_SILENCE: Duration = Duration::from_secs(60);

const RECONNECT_DELAY: Duration = Duration::from_millis(500);

/// About a minute, which a restart of the service doesn't take.
const MAX_MISSED_CONNECTS: u32 = 120;

/// Print the log of a task
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The attempt
    uid: Uid,
    /// Go on with what is written from now on
    #[arg(long, short)]
    follow: bool,
    /// Only the end: bytes, or like 64kB
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    tail: Option<u64>,
    #[command(flatten)]
    service: ServiceArgs,
}

fn parse_size(text: &str) -> Result<u64, String> {
    let units = [("kB", 1_000), ("MB", 1_000_000), ("B", 1)];
    let (digits, unit) =
        units.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit))).unwrap_or((text, 1));
    let bytes = digits.trim().parse().ok().and_then(|count: u64| count.checked_mul(unit));
    bytes.ok_or_else(|| "write a number of bytes, or like 64kB or 1MB".to_owned())
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let client = args.service.client()?;
    let print = async { if args.follow { follow_log(&client, args).await } else { print_log(&client, args).await } };
    actix_rt::System::new().block_on(print).map(|()| ExitCode::SUCCESS)
}

impl Args {
    fn path(&self) -> String {
        let tail = self.tail.map(|bytes| ("tail", bytes.to_string()));
        let follow = self.follow.then(|| ("follow", "true".to_owned()));
        with_query(&format!("/tasks/{}/log", self.uid), &tail.into_iter().chain(follow).collect())
    }
}

async fn print_log(client: &ApiClient, args: &Args) -> anyhow::Result<()> {
    let mut answer = client.open(&args.path(), None, PATIENCE).await?;
    let mut out = StyledOutput::new();
    while let Some(piece) = next_piece(&mut answer).await? {
        if !out.write(&piece)? {
            return Ok(());
        }
    }
    Ok(())
}

async fn follow_log(client: &ApiClient, args: &Args) -> anyhow::Result<()> {
    let (mut events, mut out) = (EventReader::default(), StyledOutput::new());
    // Only the first connection may fail: a restart of the service ends no log that people follow.
    let mut answer = client.open(&args.path(), None, PATIENCE).await?;
    let mut missed = 0;
    while !print_events(&mut answer, &mut events, &mut out).await? {
        events.forget_torn();
        answer = loop {
            tokio::time::sleep(RECONNECT_DELAY).await;
            match client.open(&args.path(), events.last_id(), PATIENCE).await {
                Ok(answer) => break answer,
                Err(ApiRefusal::Later { .. }) if missed < MAX_MISSED_CONNECTS => missed += 1,
                Err(err) => return Err(err.into()),
            }
        };
        missed = 0;
    }
    Ok(())
}

/// True when there is nothing more to follow: the attempt ended, or the reader is gone.
async fn print_events(answer: &mut Response, events: &mut EventReader, out: &mut StyledOutput) -> anyhow::Result<bool> {
    // A connection that broke is as good as one that ended: the next one goes on after the last event.
    while let Ok(Some(piece)) = next_piece(answer).await {
        for text in events.push(&piece)? {
            if !out.write(text.as_bytes())? {
                return Ok(true);
            }
        }
        if events.is_over() {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn next_piece(answer: &mut Response) -> Result<Option<Vec<u8>>, ApiRefusal> {
    match tokio::time::timeout(MAX_SILENCE, answer.chunk()).await {
        Ok(piece) => piece.map(|piece| piece.map(Vec::from)).map_err(|err| unreachable_refusal(&err)),
        Err(_) => Err(ApiRefusal::Later { detail: "the service says nothing any more".to_owned(), after: None }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_with_or_without_a_unit() {
        for (text, bytes) in [("0", Some(0)), ("12B", Some(12)), ("64kB", Some(64_000)), ("2 MB", Some(2_000_000))] {
            assert_eq!(parse_size(text).ok(), bytes, "{text}");
        }
        for text in ["", "kB", "-1", "1.5kB", "much", "18446744073709551615kB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
