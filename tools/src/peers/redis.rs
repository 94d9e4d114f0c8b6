//! Cycles of Redis with its log, flushed at each write: LPUSH, LMOVE to the list of leased tasks, LREM from it.

use std::fmt::Write as _;
use std::rc::Rc;

use flowlord_testkit::lasting_port;

use super::line_client::LineClient;
use super::server::{PeerServer, command_of, create_open_folder};
use crate::cycles::TASK;
use crate::load::LoadKind;

pub(super) async fn start_server() -> anyhow::Result<PeerServer> {
    let (folder, port) = (create_open_folder()?, lasting_port());
    let mut command = command_of("redis-server")?;
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"]).arg(folder.path());
    command.args(["--appendonly", "yes", "--appendfsync", "always"]);
    // Snapshots beside the log would be written in the turns of others.
    command.args(["--save", ""]);
    PeerServer::start_in(folder, port, command).await
}

#[derive(Debug, Clone, Copy)]
pub(super) struct RedisCycles;

#[derive(Debug)]
pub(super) struct RedisClient {
    lines: LineClient,
    worker: usize,
    created: usize,
}

impl LoadKind for RedisCycles {
    type Client = RedisClient;

    async fn connect_client(self, address: Rc<str>, worker: usize) -> anyhow::Result<RedisClient> {
        Ok(RedisClient { lines: LineClient::connect_to(&address).await?, worker, created: 0 })
    }

    async fn repeat_once(self, client: &mut RedisClient) -> anyhow::Result<usize> {
        client.created += 1;
        // LREM finds a task by its value, so no two may be alike.
        let task = format!("{} {} {TASK}", client.worker, client.created);
        client.lines.exchange(&encode_command(&["LPUSH", "ready", &task])?, ":").await?;
        let move_oldest = encode_command(&["LMOVE", "ready", "leased", "RIGHT", "LEFT"])?;
        let leased = client.lines.exchange(&move_oldest, "$").await?;
        let task = leased.lines().nth(1).unwrap_or_default();
        let remove = encode_command(&["LREM", "leased", "1", task])?;
        client.lines.exchange(&remove, ":1\r\n").await?;
        Ok(1)
    }
}

/// An array of bulk strings, each with its length.
fn encode_command(parts: &[&str]) -> Result<String, std::fmt::Error> {
    let mut command = format!("*{}\r\n", parts.len());
    for part in parts {
        write!(command, "${}\r\n{part}\r\n", part.len())?;
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_the_length_of_each_part() {
        assert_eq!(
            encode_command(&["LREM", "leased", "1", "é"]).unwrap(),
            "*4\r\n$4\r\nLREM\r\n$6\r\nleased\r\n$1\r\n1\r\n$2\r\né\r\n"
        );
    }
}
