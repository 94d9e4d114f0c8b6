//! The servers under test: flowlord's release build as a process of its own, and a no-op on the same HTTP stack.

use std::process::Stdio;
use std::time::{Duration, Instant};

use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::client::Client;
use crate::reload;

/// A running `flowlord serve` on a data folder of its own.
#[derive(Debug)]
pub(crate) struct Flowlord {
    pub(crate) address: String,
    pub(crate) ready_after: Duration,
    child: Child,
    data: tempfile::TempDir,
}

impl Flowlord {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Self::start_with(&["[[phase]]\ntask = \"load\"\nrule = \"cron=0 0 1 1 *\"\n".to_owned()]).await
    }

    /// With workflow files of these texts.
    pub(crate) async fn start_with(texts: &[String]) -> anyhow::Result<Self> {
        let binary = std::env::current_exe()?.with_file_name("flowlord");
        if !binary.exists() {
            bail!("{} is missing: run `cargo build --release` first", binary.display());
        }
        let data = tempfile::tempdir()?;
        let workflows = data.path().join("workflows");
        std::fs::create_dir(&workflows)?;
        for (file, text) in texts.iter().enumerate() {
            std::fs::write(workflows.join(reload::name(file)), text)?;
        }
        let begun = Instant::now();
        let mut child = Command::new(binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--workflow"])
            .arg(&workflows)
            .arg("--data")
            .arg(data.path().join("data"))
            .env("RUST_LOG", "warn")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        let line = lines.next_line().await?.context("flowlord ended before it listened")?;
        let address = line.rsplit("http://").next().unwrap_or_default().trim().to_owned();
        let mut client = Client::connect(&address).await?;
        while client.get("/readyz").await.is_err() {
            tokio::time::sleep(Duration::from_millis(2)).await;
            client = Client::connect(&address).await?;
        }
        Ok(Self { address, ready_after: begun.elapsed(), child, data })
    }

    /// The folder of its workflow files.
    pub(crate) fn workflows(&self) -> std::path::PathBuf {
        self.data.path().join("workflows")
    }

    /// Resident memory, bytes.
    pub(crate) fn memory(&self) -> anyhow::Result<u64> {
        let id = self.child.id().context("flowlord ended")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
        let kilobytes: u64 = line.split_whitespace().nth(1).context("no figure")?.parse()?;
        Ok(kilobytes * 1024)
    }
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
