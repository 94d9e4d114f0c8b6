//! Cycles of PostgreSQL with its default settings, which flush each commit: three transactions of prepared statements.
//! Its own load generator sends them, in C and on one thread, so that the clients cost no more than those of flowlord.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use flowlord_testkit::lasting_port;

use super::server::{PeerServer, START_TIMEOUT, create_open_folder, find_program, run_to_end};
use crate::load::LoadTurns;

/// The programs that it needs besides `postgres`, which its packages keep in the same folder.
const PROGRAMS: [&str; 3] = ["initdb", "pgbench", "psql"];

/// The load generator's clients connect within the time that it is given; what it prints is about the rest.
const CONNECT_SECONDS: u64 = 2;

const SCHEMA: &str = "CREATE TABLE task (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, type text NOT NULL,
    job text NOT NULL, info text NOT NULL, meta text NOT NULL, state smallint NOT NULL DEFAULT 0, worker text,
    result text, created timestamptz NOT NULL DEFAULT now(), started timestamptz, ended timestamptz);
    CREATE INDEX task_ready ON task (type, job, id) WHERE state = 0";

/// A lease may find nothing: the only task that was there when it began may be locked by another client.
const CYCLE: &str = r"\set leased 0
INSERT INTO task (type, job, info, meta) VALUES ('load', 'hour', '?date=2026-03-01T05', 'source=load&n=1');
UPDATE task SET state = 1, worker = 'w' || :client_id, started = now() WHERE id = (SELECT id FROM task WHERE type = 'load' AND job = 'hour' AND state = 0 ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1) RETURNING id AS leased, type, job, info, meta \aset
UPDATE task SET state = 2, result = 'complete', meta = meta || '&rows=10', ended = now() WHERE id = :leased AND state = 1;
";

/// What the machine lacks to run it.
pub(super) fn find_missing() -> Option<&'static str> {
    let Some(postgres) = find_postgres() else { return Some("postgres") };
    let missing = PROGRAMS.into_iter().find(|program| !postgres.with_file_name(program).is_file());
    let needs_setpriv = is_root() && find_program("setpriv").is_none();
    missing.or(needs_setpriv.then_some("setpriv"))
}

/// The program itself: the others are beside it, but not beside a link to it.
fn find_postgres() -> Option<PathBuf> {
    find_program("postgres")?.canonicalize().ok()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(super) async fn start_server() -> anyhow::Result<PeerServer> {
    let (folder, port) = (create_open_folder()?, lasting_port());
    let data = folder.path().join("data");
    // Flushing is for what is measured: it would take longer than the rest of the start.
    let mut initialize = command_as_user("initdb")?;
    initialize.args([
        "--auth",
        "trust",
        "--username",
        "bench",
        "--no-sync",
        "--no-locale",
        "--encoding",
        "UTF8",
        "--pgdata",
    ]);
    initialize.arg(&data);
    run_to_end(initialize, folder.path()).await?;
    let mut command = command_as_user("postgres")?;
    command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-c", "unix_socket_directories=", "-D"]).arg(data);
    let server = PeerServer::start_in(folder, port, command).await?;
    // It accepts connections before it answers them.
    let ready = async {
        while query_value(&server, "SELECT 1").await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(START_TIMEOUT, ready).await.context("postgres doesn't answer")?;
    std::fs::write(server.folder.path().join("cycle.sql"), CYCLE)?;
    query_value(&server, SCHEMA).await?;
    Ok(server)
}

/// PostgreSQL refuses to run as root.
fn command_as_user(program: &str) -> anyhow::Result<Command> {
    let program = find_postgres().context("postgres is missing")?.with_file_name(program);
    if !is_root() {
        return Ok(Command::new(program));
    }
    // The user that Debian's package creates, or the one that owns nothing.
    let has_postgres = std::fs::read_to_string("/etc/passwd")?.lines().any(|line| line.starts_with("postgres:"));
    let (user, group) = if has_postgres { ("postgres", "postgres") } else { ("nobody", "nogroup") };
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--regid", group, "--clear-groups"]).arg(program);
    Ok(command)
}

fn client_command(server: &PeerServer, program: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(find_postgres().context("postgres is missing")?.with_file_name(program));
    command.args(["-h", "127.0.0.1", "-p", &server.port.to_string(), "-U", "bench"]);
    Ok(command)
}

async fn query_value(server: &PeerServer, sql: &str) -> anyhow::Result<String> {
    let mut command = client_command(server, "psql")?;
    command.args(["-qAt", "-d", "postgres", "-c", sql]);
    run_to_end(command, server.folder.path()).await
}

/// Counted in the table, as a cycle whose lease found nothing finished no task.
async fn count_done(server: &PeerServer) -> anyhow::Result<u32> {
    Ok(query_value(server, "SELECT count(*) FROM task WHERE state = 2").await?.trim().parse()?)
}

pub(super) async fn cycles_per_second(server: &PeerServer, turns: &LoadTurns) -> anyhow::Result<f64> {
    let before = count_done(server).await?;
    let (workers, seconds) = (turns.workers.to_string(), (turns.seconds + CONNECT_SECONDS).to_string());
    let mut command = client_command(server, "pgbench")?;
    command.args(["-n", "-M", "prepared", "-j", "1", "-c", &workers, "-T", &seconds, "-f", "cycle.sql", "postgres"]);
    let printed = run_to_end(command, server.folder.path()).await?;
    let seconds = measured_seconds(&printed).with_context(|| format!("--seconds is too short: {printed}"))?;
    Ok(f64::from(count_done(server).await? - before) / seconds)
}

/// How long the clients ran, without the time that it took them to connect.
fn measured_seconds(printed: &str) -> Option<f64> {
    let cycles = number_after(printed, "number of transactions actually processed: ")?;
    Some(cycles / number_after(printed, "tps = ")?)
}

fn number_after(printed: &str, start: &str) -> Option<f64> {
    printed.lines().find_map(|line| line.strip_prefix(start))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_run_is_read_from_what_its_load_generator_prints() {
        let printed = "number of clients: 64\nnumber of transactions actually processed: 5000\nlatency average = 2 ms\n\
            tps = 500.0 (without initial connection time)\n";
        assert_eq!(measured_seconds(printed), Some(10.0));
        assert_eq!(measured_seconds("tps = 500.0"), None);
    }
}
