//! What the demo's workers pretend to do, each task with a log.

use std::time::Duration;

use flowlord_kernel::{Clock as _, SystemClock};
use tokio::time::sleep;

use super::partner::Partner;
use crate::commands::work::client::{ApiClient, GrantedTask, TaskOutcome};
use crate::commands::work::task_log::TaskLog;

const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const PLAIN: &str = "\x1b[0m";

/// The work on one task.
pub(super) struct PretendedWork<'a> {
    pub(super) client: &'a ApiClient,
    pub(super) granted: &'a GrantedTask,
    /// By how much a heartbeat extends it.
    pub(super) lease: &'a str,
    pub(super) log: &'a TaskLog,
    pub(super) partner: Partner,
}

impl PretendedWork<'_> {
    pub(super) async fn run(&self) -> TaskOutcome {
        let info = self.granted.text("info");
        self.say(&format!("{} {}", self.granted.text("type"), info.trim_start_matches('?')));
        sleep(Duration::from_millis(rand::random_range(100..300))).await;
        let rows = rand::random_range(500..5_000);
        match self.granted.text("type") {
            "extract" => self.extract(rows).await,
            "partner" => self.import(rows),
            _ => self.complete(rows, "written"),
        }
    }

    async fn extract(&self, rows: u32) -> TaskOutcome {
        self.say(&format!("half of {rows} rows read"));
        // A worker may tell how far it is; the lease counts anew with it.
        let _ = self.client.heartbeat(&self.granted.lease, self.lease, Some(0.5)).await;
        sleep(Duration::from_millis(200)).await;
        // Now and then a retry is all that it takes.
        if self.granted.attempt == 1 && rand::random_ratio(1, 5) {
            return self.fail("orders-db: deadlock detected");
        }
        let file = format!("s3://demo/{}/{}.json.gz", self.granted.text("job"), self.granted.text("uid"));
        TaskOutcome { meta: format!("file={file}&rows={rows}"), ..self.complete(rows, "extracted") }
    }

    fn import(&self, rows: u32) -> TaskOutcome {
        self.say("connecting to partner.example:443");
        let Some(back) = self.partner.back_at() else { return self.complete(rows, "imported") };
        let notice =
            format!("status.partner.example: down for maintenance, up again at {} UTC", back.format("%H:%M:%S"));
        self.say(&format!("{YELLOW}{notice}{PLAIN}"));
        self.fail("partner.example: connection refused")
    }

    fn complete(&self, rows: u32, done: &str) -> TaskOutcome {
        let text = format!("{rows} rows {done}");
        self.say(&text);
        TaskOutcome::new("complete", text)
    }

    fn fail(&self, why: &str) -> TaskOutcome {
        self.say(&format!("{RED}{why}{PLAIN}"));
        TaskOutcome::new("error", why)
    }

    fn say(&self, line: &str) {
        self.log.take(format!("{} {line}\n", SystemClock.now().format("%H:%M:%S%.3f")).as_bytes());
    }
}
