//! The servers under test: flowlord's release build as a process of its own, and a no-op on the same HTTP stack.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::client::HttpClient;

/// A running `flowlord serve` on a temporary data folder.
#[derive(Debug)]
pub(crate) struct BenchService {
    pub(crate) address: String,
    pub(crate) ready_after: Duration,
    pub(crate) workflows: PathBuf,
    process: ServiceProcess,
    _folder: tempfile::TempDir,
}

impl BenchService {
    pub(crate) async fn start_empty(binary: &Path) -> anyhow::Result<Self> {
        Self::start_with(binary, &["[[phase]]\ntask = \"load\"\nrule = \"cron=0 0 1 1 *\"\n".to_owned()]).await
    }

    pub(crate) async fn start_with(binary: &Path, texts: &[String]) -> anyhow::Result<Self> {
        Self::start_configured(binary, texts, "").await
    }

    pub(crate) async fn start_configured(binary: &Path, texts: &[String], config: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let config_file = folder.path().join("flowlord.toml");
        std::fs::write(&config_file, config)?;
        let workflows = folder.path().join("workflows");
        std::fs::create_dir(&workflows)?;
        for (file, text) in texts.iter().enumerate() {
            std::fs::write(workflows.join(file_name(file)), text)?;
        }
        let begun = Instant::now();
        let mut command = Command::new(binary);
        command.env("FLOWLORD_CONFIG", config_file);
        let mut process = ServiceProcess::spawn_wrapped(command, &workflows, &folder.path().join("data"))?;
        let address = process.read_address().await?;
        wait_until_ready(&address).await?;
        Ok(Self { address, ready_after: begun.elapsed(), workflows, process, _folder: folder })
    }

    pub(crate) fn process_id(&self) -> anyhow::Result<u32> {
        self.process.process_id()
    }

    #[expect(clippy::cast_precision_loss, reason = "a figure to print")]
    pub(crate) fn memory_megabytes(&self) -> anyhow::Result<f64> {
        let id = self.process_id()?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
        let kilobytes: u64 = line.split_whitespace().nth(1).context("no figure")?.parse()?;
        Ok((kilobytes * 1024) as f64 / 1e6)
    }
}

/// The processor time that a process has taken, its own and the kernel's for it.
pub(crate) fn cpu_seconds(process: u32) -> anyhow::Result<f64> {
    /// As Linux tells it on every machine: `USER_HZ`.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name before it, in brackets, may have spaces.
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = [11, 12].map(|nth| fields.get(nth).and_then(|field| field.parse::<f64>().ok()));
    Ok(ticks.into_iter().sum::<Option<f64>>().context("no processor time")? / TICKS_PER_SECOND)
}

pub(crate) async fn wait_until_ready(address: &str) -> anyhow::Result<()> {
    let mut client = HttpClient::connect_to(address).await?;
    while client.get_body("/readyz").await.is_err() {
        // Often, as this is measured, too. After an error the connection may be closed.
        tokio::time::sleep(Duration::from_millis(2)).await;
        client = HttpClient::connect_to(address).await?;
    }
    Ok(())
}

/// The name of a workflow file; four digits sort as numbers do.
pub(crate) fn file_name(file: usize) -> String {
    format!("{file:04}.toml")
}

/// `flowlord serve` as a process; killed when dropped.
#[derive(Debug)]
pub(crate) struct ServiceProcess {
    child: Child,
}

impl ServiceProcess {
    pub(crate) fn spawn_service(binary: &Path, workflows: &Path, data: &Path) -> anyhow::Result<Self> {
        Self::spawn_wrapped(Command::new(binary), workflows, data)
    }

    /// Starts a command whose last argument, or which itself, is the program.
    pub(crate) fn spawn_wrapped(mut command: Command, workflows: &Path, data: &Path) -> anyhow::Result<Self> {
        command.args(["serve", "--listen", "127.0.0.1:0", "--workflow"]).arg(workflows);
        command.arg("--data").arg(data);
        Self::spawn_command(command)
    }

    pub(crate) fn spawn_command(mut command: Command) -> anyhow::Result<Self> {
        // Lines of the log cost time, and nobody reads them here.
        command.env("RUST_LOG", "error").stdout(Stdio::piped()).kill_on_drop(true);
        Ok(Self { child: command.spawn()? })
    }

    pub(crate) async fn read_address(&mut self) -> anyhow::Result<String> {
        let mut lines = BufReader::new(self.child.stdout.take().context("no stdout")?).lines();
        let line = lines.next_line().await?.context("flowlord ended before it listened")?;
        Ok(line.rsplit("http://").next().unwrap_or_default().trim().to_owned())
    }

    pub(crate) fn process_id(&self) -> anyhow::Result<u32> {
        self.child.id().context("flowlord ended")
    }

    pub(crate) async fn kill_hard(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Sends SIGTERM, which begins an orderly stop.
    pub(crate) fn request_stop(&self) -> anyhow::Result<()> {
        self.send_signal(Signal::TERM)
    }

    /// Lets it stand still, wherever it is.
    pub(crate) fn pause(&self) -> anyhow::Result<()> {
        self.send_signal(Signal::STOP)
    }

    pub(crate) fn wake(&self) -> anyhow::Result<()> {
        self.send_signal(Signal::CONT)
    }

    fn send_signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.process_id()?.try_into()?).context("no process id")?;
        Ok(kill_process(pid, signal)?)
    }

    pub(crate) async fn wait_for_exit(mut self) -> anyhow::Result<ExitStatus> {
        Ok(self.child.wait().await?)
    }
}

/// The program under test: beside this one, or one folder up when this one is a test.
pub(crate) fn find_flowlord() -> anyhow::Result<PathBuf> {
    let beside = std::env::current_exe()?.with_file_name("flowlord");
    let above = beside.parent().and_then(Path::parent).map(|folder| folder.join("flowlord"));
    let found = [Some(beside.clone()), above].into_iter().flatten().find(|path| path.is_file());
    found.with_context(|| format!("{} is missing: build it first", beside.display()))
}

/// Runs a command of the program on a data folder to its end.
pub(crate) async fn run_command(binary: &Path, args: &[&str], data: &Path) -> anyhow::Result<()> {
    let output = Command::new(binary).args(args).arg(data).env("RUST_LOG", "error").output().await?;
    ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Starts a server that answers `{"accepted":true}` to JSON posts, on the stack that flowlord uses.
pub(crate) fn start_no_op() -> anyhow::Result<String> {
    let (send, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let server = HttpServer::new(|| App::new().route("/noop", web::post().to(accept_json)));
            let server = server.workers(2).bind(("127.0.0.1", 0))?;
            let _caller_is_gone = send.send(server.addrs().first().map(ToString::to_string));
            server.run().await
        })
    });
    address.recv()?.context("no address")
}

async fn accept_json(_body: web::Json<Value>) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "accepted": true }))
}
