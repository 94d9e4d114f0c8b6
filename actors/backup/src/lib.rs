//! The backup actor takes snapshots when they are due, when asked, and at the stop; it keeps the newest.
//!
//! The DB owner makes the copy and checks it; a snapshot counts once it was read back from its place. The names of the
//! files say when the last one was taken, so a restart neither skips nor doubles one.

mod alerts;
mod place;
mod segments;
mod ship;
#[cfg(test)]
mod ship_tests;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::path::PathBuf;

use actix::{Addr, ArbiterHandle, Context, Supervisor};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_kernel::fault::{self, FaultPoint};
use flowlord_kernel::{ActorKit, Code, Error, KernelActor, LatePort, Reply, Result, Timer, WakeUp, actor, handlers};
use flowlord_messages::AlertSender;
use flowlord_messages::changelog::LogPoint;
use flowlord_messages::clients::{ClusterClient, DatabaseCopier};
use flowlord_messages::cluster::{AppendRecord, ForgetEntries, SharedRecord};
use flowlord_messages::events::SnapshotsChanged;
use flowlord_messages::snapshots::{
    BackupState, CopyDatabase, ListSnapshots, ReadBackup, SnapshotList, StopBackup, StoredSnapshot, TakeBackup,
    TakeSnapshot,
};
use tokio::sync::oneshot;

use crate::alerts::RaisedAlerts;
pub use crate::place::{BackupPlace, FoundSnapshot, LogReceipt, PlaceError, SnapshotReceipt, taken_at};
pub use crate::segments::SegmentName;
pub use crate::ship::{ShipConfig, ShipDeps, Shipper};

/// After a snapshot that failed, when to try again, unless the next one is due sooner.
const RETRY_DELAY: TimeDelta = TimeDelta::minutes(10);

const MAX_WAITING: usize = 16;

/// How often a snapshot is announced to the cluster while the change log is behind it, and how long after each other.
const MAX_ANNOUNCE_TRIES: u32 = 120;
const ANNOUNCE_RETRY_DELAY: std::time::Duration = std::time::Duration::from_secs(1);

#[derive(Debug, Clone)]
pub struct Config {
    /// A folder of this machine, for copies on their way to a place elsewhere.
    pub spool: PathBuf,
    pub every: Option<TimeDelta>,
    pub keep: usize,
    /// The log of changes that a snapshot is wanted for; none while none is kept.
    pub chain: Option<u64>,
    /// Whether one is due at the start: nothing that is there leads into the cluster's log.
    pub is_due_at_start: bool,
}

#[derive(Debug, Clone)]
pub struct Deps {
    pub kit: ActorKit,
    pub copier: DatabaseCopier,
    pub alert_sender: AlertSender,
    pub changed: LatePort<SnapshotsChanged>,
    /// Where a snapshot must be named to count; none without a cluster.
    pub cluster: Option<ClusterClient>,
}

type SnapshotReply = oneshot::Sender<Result<StoredSnapshot>>;

/// A snapshot that is being taken or waits to be, and who asked for it.
#[derive(Debug)]
struct SnapshotRun {
    /// None for the usual place.
    to: Option<PathBuf>,
    replies: Vec<SnapshotReply>,
}

#[derive(Debug)]
pub struct Backup {
    config: Config,
    deps: Deps,
    place: BackupPlace,
    timer: Timer,
    /// The first one is being taken.
    runs: VecDeque<SnapshotRun>,
    /// The newest one in the usual place that was verified.
    verified: Option<StoredSnapshot>,
    /// Up to where that one holds the change log.
    log: Option<LogPoint>,
    /// Why the last one there failed.
    problem: Option<String>,
    raised: RaisedAlerts,
}

impl Backup {
    pub fn start(arbiter: &ArbiterHandle, config: Config, place: BackupPlace, deps: Deps) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            timer: Timer::default(),
            place,
            config,
            deps,
            runs: VecDeque::new(),
            verified: None,
            log: None,
            problem: None,
            raised: RaisedAlerts::default(),
        })
    }

    /// Reads when the last snapshot was taken, and sets the timer to the next.
    fn plan_next(&mut self, ctx: &mut Context<Self>) {
        let (place, spool) = (self.place.clone(), self.config.spool.clone());
        let found = async move {
            // What a copy that was cut off left there.
            let _none_is_fine = actix_rt::task::spawn_blocking(move || std::fs::remove_dir_all(spool)).await;
            newest_verified(&place).await
        };
        self.ask(ctx, found, |this, found, ctx| {
            match found {
                Ok(Some((newest, log))) => (this.verified, this.log) = (Some(newest), log),
                Ok(None) => {}
                Err(err) => log::error!("event=snapshots_unread error={:?}", storage_error(&err)),
            }
            if let Some(every) = this.config.every {
                let due = this.next_due(every, this.now());
                this.wake_at(Some(due), ctx);
            }
        });
    }

    fn next_due(&self, every: TimeDelta, now: DateTime<Utc>) -> DateTime<Utc> {
        if self.config.is_due_at_start {
            return now;
        }
        // The segments of one change log don't go on from the snapshot of another.
        let is_of_log = self.config.chain.is_none() || self.config.chain == self.log.map(|log| log.chain);
        // A snapshot of the future was taken before the clock was set back.
        let last = self.verified.as_ref().map(|newest| newest.at).filter(|last| *last <= now && is_of_log);
        last.map_or(now, |last| later_by(last, every))
    }

    /// Takes a snapshot, or shares the one that is being taken for the same place.
    fn request_run(&mut self, to: Option<PathBuf>, reply: Option<SnapshotReply>, ctx: &mut Context<Self>) {
        if let Some(run) = self.runs.iter_mut().find(|run| run.to == to) {
            run.replies.extend(reply);
        } else if self.runs.len() >= MAX_WAITING {
            let detail = "too many snapshots wait to be taken; try again later";
            answer_all(reply, &Err(Error::new(Code::Busy, detail)));
        } else {
            self.queue_run(to, reply, ctx);
        }
    }

    fn queue_run(&mut self, to: Option<PathBuf>, reply: Option<SnapshotReply>, ctx: &mut Context<Self>) {
        self.runs.push_back(SnapshotRun { to, replies: reply.into_iter().collect() });
        if self.runs.len() == 1 {
            self.begin_run(ctx);
        }
    }

    fn begin_run(&mut self, ctx: &mut Context<Self>) {
        let Some(run) = self.runs.front() else { return };
        let (at, to) = (self.now(), run.to.clone());
        let (deps, place) = (self.deps.clone(), self.place.clone());
        let (spool, keep) = (self.config.spool.clone(), self.config.keep);
        let taken = async move {
            let Some(to) = to else { return take_usual(&deps, &place, spool, at, keep).await };
            let copied = deps.copier.call(CopyDatabase { to }).await?;
            let location = copied.path.display().to_string();
            Ok((StoredSnapshot { location, at, bytes: copied.bytes, verified: true }, None))
        };
        self.ask(ctx, taken, move |this, taken, ctx| this.end_run(taken, at, ctx));
    }

    fn end_run(
        &mut self,
        taken: Result<(StoredSnapshot, Option<KeptSnapshot>)>,
        at: DateTime<Utc>,
        ctx: &mut Context<Self>,
    ) {
        let Some(run) = self.runs.pop_front() else { return };
        let taken = taken.map(|(snapshot, kept)| {
            if let Some(kept) = kept {
                self.log = kept.log;
                self.remove_old_segments(kept.oldest, ctx);
            }
            snapshot
        });
        match &taken {
            Ok(StoredSnapshot { location, bytes, .. }) => {
                log::info!("event=snapshot_taken location={location:?} bytes={bytes}");
            }
            Err(err) => log::error!("event=snapshot_failed error={err:?}"),
        }
        if run.to.is_none() {
            self.note_usual(&taken, at, ctx);
        }
        self.begin_run(ctx);
        answer_all(run.replies, &taken);
    }

    /// Removes segments that are older than every snapshot, while the next one may be taken.
    fn remove_old_segments(&self, oldest: Option<DateTime<Utc>>, ctx: &mut Context<Self>) {
        let (Some(oldest), Some(_)) = (oldest, self.config.chain) else { return };
        if let Some(cluster) = &self.deps.cluster {
            cluster.hint(ForgetEntries { before: oldest });
        }
        let place = self.place.clone();
        self.ask(ctx, async move { place.forget_segments(oldest).await }, |_, removed, _| {
            if let Err(err) = removed {
                log::warn!("event=segments_not_removed error={err:?}");
            }
        });
    }

    fn note_usual(&mut self, taken: &Result<StoredSnapshot>, at: DateTime<Utc>, ctx: &mut Context<Self>) {
        self.deps.changed.hint(SnapshotsChanged);
        if let Ok(snapshot) = taken {
            self.verified = Some(snapshot.clone());
        }
        self.problem = taken.as_ref().err().map(|err| err.detail.clone());
        let newest = self.verified.as_ref().map(|newest| newest.at);
        let alerts = self.raised.alerts_after(self.problem.as_deref(), newest, self.config.every, self.now());
        alerts.into_iter().for_each(|alert| self.deps.alert_sender.raise(alert));
        if let Some(every) = self.config.every {
            // From when it began, so that the time that snapshots take doesn't add up.
            let pause = if taken.is_err() { every.min(RETRY_DELAY) } else { every };
            self.wake_at(Some(later_by(at, pause)), ctx);
        }
    }

    fn take_snapshot(&mut self, take: TakeSnapshot, ctx: &mut Context<Self>) -> Reply<Self, StoredSnapshot> {
        let (reply, taken) = oneshot::channel();
        self.request_run(take.to, Some(reply), ctx);
        self.reply_after(taken, |_, taken, _| taken.unwrap_or_else(|_| Err(given_up("the snapshot"))))
    }

    fn back_up(&mut self, _: TakeBackup, ctx: &mut Context<Self>) {
        if self.config.every.is_some() {
            self.request_run(None, None, ctx);
        }
    }

    fn list_snapshots(&mut self, _: ListSnapshots, _: &mut Context<Self>) -> Reply<Self, SnapshotList> {
        let place = self.place.clone();
        self.reply_after(async move { place.list_snapshots().await }, |this, listed, _| {
            let found =
                listed.map_err(|err| Error::new(Code::Storage, format!("the snapshots can't be listed: {err}")))?;
            let items = found.iter().map(|found| this.place.to_message(found)).collect();
            Ok(SnapshotList { items, next: this.timer.at(), problem: this.problem.clone() })
        })
    }

    fn read_state(&mut self, _: ReadBackup, _: &mut Context<Self>) -> Result<BackupState> {
        Ok(BackupState {
            place: self.config.every.map(|_| self.place.location("")),
            verified: self.verified.clone(),
            log: self.log,
            next: self.timer.at(),
            problem: self.problem.clone(),
        })
    }

    fn stop_backup(&mut self, _: StopBackup, ctx: &mut Context<Self>) -> Reply<Self, ()> {
        self.wake_at(None, ctx);
        let mut last = None;
        if self.config.every.take().is_some() {
            // Not shared with one that runs: what was answered since it began belongs into the last one.
            let (reply, taken) = oneshot::channel();
            self.queue_run(None, Some(reply), ctx);
            last = Some(taken);
        }
        let taken = async move {
            let Some(taken) = last else { return Ok(()) };
            taken.await.map_err(|_| given_up("the last snapshot"))?.map(drop)
        };
        self.reply_after(taken, |_, taken, _| taken)
    }

    fn forget_runs(&mut self) {
        // Those who wait get an error; the copy itself is whole or not there.
        self.runs.clear();
    }

    fn request_due(&mut self, ctx: &mut Context<Self>) {
        self.request_run(None, None, ctx);
    }
}

fn later_by(at: DateTime<Utc>, pause: TimeDelta) -> DateTime<Utc> {
    at.checked_add_signed(pause).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn answer_all(replies: impl IntoIterator<Item = SnapshotReply>, taken: &Result<StoredSnapshot>) {
    for reply in replies {
        let _nobody_waits_any_more = reply.send(taken.clone());
    }
}

/// The actor restarted before there was an answer.
fn given_up(what: &str) -> Error {
    Error::new(Code::Internal, format!("{what} was abandoned; see the log"))
}

/// What is known of a snapshot in the usual place beside itself.
#[derive(Debug, Clone, Copy)]
struct KeptSnapshot {
    log: Option<LogPoint>,
    /// When the oldest one was begun that stays.
    oldest: Option<DateTime<Utc>>,
}

fn storage_error(err: &PlaceError) -> Error {
    Error::new(Code::Storage, err.to_string())
}

async fn newest_verified(
    place: &BackupPlace,
) -> std::result::Result<Option<(StoredSnapshot, Option<LogPoint>)>, PlaceError> {
    let listed = place.list_snapshots().await?;
    // The newest one may be an upload that was cut off.
    let Some(newest) = listed.iter().find(|found| found.verified) else { return Ok(None) };
    let log = place.read_receipt(&newest.name).await?.and_then(|receipt| receipt.log);
    Ok(Some((place.to_message(newest), log.and_then(|log| log.point()))))
}

/// Takes a snapshot in the usual place, reads it back from there, and removes the oldest.
async fn take_usual(
    deps: &Deps,
    place: &BackupPlace,
    spool: PathBuf,
    at: DateTime<Utc>,
    keep: usize,
) -> Result<(StoredSnapshot, Option<KeptSnapshot>)> {
    let name = BackupPlace::name(at);
    // In a folder of this machine it is made in its place; for a store it is made in the spool and sent.
    let there = place.local_file(&name);
    let spooled = there.is_none();
    let to = there.unwrap_or_else(|| spool.join(&name));
    let copied = deps.copier.call(CopyDatabase { to }).await?;
    let sent = place.send_file(&name, at, &copied.path, copied.log).await;
    let kept = match sent {
        Ok(_) if fault::at(FaultPoint::DuringUpload, spool.parent().unwrap_or(&spool)).is_some() => {
            Err(storage_error(&PlaceError::Store(flowlord_storage::Error::NotFound { at: name.clone() })))
        }
        Ok(receipt) => keep_sent(deps, place, &name, &receipt, copied.log).await,
        Err(err) => Err(storage_error(&err)),
    };
    if spooled {
        let _removed_at_the_next_start =
            actix_rt::task::spawn_blocking(move || std::fs::remove_file(&copied.path)).await;
    }
    let found = kept?;
    // Only now that a new one is verified: a full store must not cost the old ones first.
    let oldest = place
        .keep_newest(keep)
        .await
        .map_err(|err| Error::new(Code::Storage, format!("old snapshots can't be removed: {err}")))?;
    Ok((place.to_message(&found), Some(KeptSnapshot { log: copied.log, oldest })))
}

/// Reads back what was sent; from then on it counts.
async fn keep_sent(
    deps: &Deps,
    place: &BackupPlace,
    name: &str,
    receipt: &SnapshotReceipt,
    log: Option<LogPoint>,
) -> Result<FoundSnapshot> {
    place.check_sent(name, receipt).await.map_err(|err| storage_error(&err))?;
    if let Some(cluster) = &deps.cluster {
        // Before its receipt: a node that leads no more must not leave a snapshot that counts.
        announce_snapshot(cluster, name, log).await?;
    }
    place.write_receipt(name, receipt).await.map_err(|err| storage_error(&err))
}

/// Names a snapshot in the cluster's log, once segments hold all that it holds.
async fn announce_snapshot(cluster: &ClusterClient, name: &str, log: Option<LogPoint>) -> Result<()> {
    let mut tries = 0;
    loop {
        let record = SharedRecord::Snapshot { name: name.to_owned(), log };
        match cluster.call(AppendRecord(record)).await {
            Err(err) if err.code == Code::NotReady && tries < MAX_ANNOUNCE_TRIES => tries += 1,
            announced => return announced.map(drop),
        }
        tokio::time::sleep(ANNOUNCE_RETRY_DELAY).await;
    }
}

handlers!(Backup {
    async TakeSnapshot => take_snapshot,
    TakeBackup => back_up,
    async ListSnapshots => list_snapshots,
    ReadBackup => read_state,
    async StopBackup => stop_backup,
});

actor!(Backup { kit: deps.kit, mailbox: 64, start: plan_next, restart: forget_runs, wake: request_due });
