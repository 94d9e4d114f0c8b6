//! Cycles of beanstalkd with its log, flushed at each write: put, reserve, delete.

use std::rc::Rc;

use anyhow::Context as _;
use flowlord_testkit::lasting_port;

use super::line_client::LineClient;
use super::server::{PeerServer, command_of, create_open_folder};
use crate::cycles::TASK;
use crate::load::LoadKind;

pub(super) async fn start_server() -> anyhow::Result<PeerServer> {
    let (folder, port) = (create_open_folder()?, lasting_port());
    let mut command = command_of("beanstalkd")?;
    command.args(["-l", "127.0.0.1", "-p", &port.to_string(), "-f0", "-b"]).arg(folder.path());
    PeerServer::start_in(folder, port, command).await
}

#[derive(Debug, Clone, Copy)]
pub(super) struct BeanstalkdCycles;

impl LoadKind for BeanstalkdCycles {
    type Client = LineClient;

    async fn connect_client(self, address: Rc<str>, _worker: usize) -> anyhow::Result<LineClient> {
        LineClient::connect_to(&address).await
    }

    async fn repeat_once(self, client: &mut LineClient) -> anyhow::Result<usize> {
        // Priority, delay, time to run, bytes. An hour: a job that timed out would go to another client.
        client.exchange(&format!("put 1 0 3600 {}\r\n{TASK}\r\n", TASK.len()), "INSERTED ").await?;
        let reserved = client.exchange("reserve\r\n", "RESERVED ").await?;
        let delete = format!("delete {}\r\n", reserved_id(reserved)?);
        client.exchange(&delete, "DELETED\r\n").await?;
        Ok(1)
    }
}

fn reserved_id(answer: &str) -> anyhow::Result<&str> {
    answer.split(' ').nth(1).context("no id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_reserved_job_is_the_second_word() {
        assert_eq!(reserved_id("RESERVED 17 5\r\nab cd\r\n").unwrap(), "17");
    }
}
