//! The servers under test: flowlord's release build as a process of its own, and a no-op on the same HTTP stack.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::client::Client;
use crate::reload;

/// A running `flowlord serve` on a data folder of its own.
#[derive(Debug)]
pub(crate) struct Flowlord {
    pub(crate) address: String,
    pub(crate) ready_after: Duration,
    process: Process,
    data: tempfile::TempDir,
}

impl Flowlord {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Self::start_with(&["[[phase]]\ntask = \"load\"\nrule = \"cron=0 0 1 1 *\"\n".to_owned()]).await
    }

    /// With workflow files of these texts.
    pub(crate) async fn start_with(texts: &[String]) -> anyhow::Result<Self> {
        let binary = flowlord()?;
        let data = tempfile::tempdir()?;
        let workflows = data.path().join("workflows");
        std::fs::create_dir(&workflows)?;
        for (file, text) in texts.iter().enumerate() {
            std::fs::write(workflows.join(reload::name(file)), text)?;
        }
        let begun = Instant::now();
        let mut process = Process::spawn(&binary, &workflows, &data.path().join("data"))?;
        let address = process.ready().await?;
        until_ready(&address).await?;
        Ok(Self { address, ready_after: begun.elapsed(), process, data })
    }

    /// The folder of its workflow files.
    pub(crate) fn workflows(&self) -> PathBuf {
        self.data.path().join("workflows")
    }

    /// Resident memory, bytes.
    pub(crate) fn memory(&self) -> anyhow::Result<u64> {
        let id = self.process.id()?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
        let kilobytes: u64 = line.split_whitespace().nth(1).context("no figure")?.parse()?;
        Ok(kilobytes * 1024)
    }
}

/// Waits until the service at this address is ready.
pub(crate) async fn until_ready(address: &str) -> anyhow::Result<()> {
    let mut client = Client::connect(address).await?;
    while client.get("/readyz").await.is_err() {
        tokio::time::sleep(Duration::from_millis(2)).await;
        client = Client::connect(address).await?;
    }
    Ok(())
}

/// `flowlord serve` as a process; killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts it on these folders, without waiting for anything.
    pub(crate) fn spawn(binary: &Path, workflows: &Path, data: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(binary);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--workflow"])
            .arg(workflows)
            .arg("--data")
            .arg(data);
        Self::of(command)
    }

    /// Starts a command that runs it.
    pub(crate) fn of(mut command: Command) -> anyhow::Result<Self> {
        command.env("RUST_LOG", "error").stdout(Stdio::piped()).kill_on_drop(true);
        Ok(Self { child: command.spawn()? })
    }

    /// Its address, once it serves.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<String> {
        let mut lines = BufReader::new(self.child.stdout.take().context("no stdout")?).lines();
        let line = lines.next_line().await?.context("flowlord ended before it listened")?;
        Ok(line.rsplit("http://").next().unwrap_or_default().trim().to_owned())
    }

    /// Its process id.
    pub(crate) fn id(&self) -> anyhow::Result<u32> {
        self.child.id().context("flowlord ended")
    }

    /// Ends it by SIGKILL.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.id()?.try_into()?).context("no process id")?;
        Ok(kill_process(pid, Signal::TERM)?)
    }

    /// Waits until it ended.
    pub(crate) async fn ended(mut self) -> anyhow::Result<std::process::ExitStatus> {
        Ok(self.child.wait().await?)
    }
}

/// The program under test: beside this one, or one folder up when this one is a test.
pub(crate) fn flowlord() -> anyhow::Result<PathBuf> {
    let beside = std::env::current_exe()?.with_file_name("flowlord");
    let up = beside.parent().and_then(Path::parent).map(|up| up.join("flowlord"));
    let found = [Some(beside.clone()), up].into_iter().flatten().find(|path| path.is_file());
    found.with_context(|| format!("{} is missing: build it first", beside.display()))
}

/// Runs a command of the program on a data folder to its end.
pub(crate) async fn run_flowlord(binary: &Path, args: &[&str], data: &Path) -> anyhow::Result<()> {
    let output = Command::new(binary).args(args).arg(data).env("RUST_LOG", "error").output().await?;
    ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Answers `{"accepted":true}` to JSON posts, on the stack that flowlord uses.
pub(crate) fn no_op() -> anyhow::Result<String> {
    let (send, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let answer = || async { HttpResponse::Ok().json(serde_json::json!({ "accepted": true })) };
            let app = move || {
                App::new().route("/noop", web::post().to(move |_: web::Json<serde_json::Value>| answer()))
            };
            let server = HttpServer::new(app).workers(2).bind(("127.0.0.1", 0))?;
            let _the_bench_ended = send.send(server.addrs().first().map(ToString::to_string));
            server.run().await
        })
    });
    address.recv()?.context("no address")
}
