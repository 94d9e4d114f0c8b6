//! The shipper sends segments of the change log to the backup's place every few seconds, so that no more than that is
//! lost with the disk.
//!
//! It reads beside the writer and holds nobody up. While the place can't be reached changes wait in the database, up to
//! a bound; past it the log begins anew, and counts again from the next snapshot on.

use actix::{Addr, ArbiterHandle, Context, Supervisor};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::IdSource as _;
use flowlord_kernel::{ActorKit, Code, Error, KernelActor, Reply, Result, Timer, WakeUp, actor, handlers};
use flowlord_messages::AlertSender;
use flowlord_messages::changelog::{
    ChangeSegment, ChangeTail, ForgetChanges, LogPoint, ReadSegment, ReadShippingState, RestartChangeLog,
    ShippingState, StopShipping,
};
use flowlord_messages::clients::{BackupClient, ClusterClient, DatabaseCopier, DatabaseWriter};
use flowlord_messages::cluster::{AppendRecord, SharedRecord};
use flowlord_messages::snapshots::{ReadBackup, TakeBackup};
use tokio::sync::oneshot;

use crate::alerts::snapshot_alert;
use crate::place::BackupPlace;
use crate::{given_up, storage_error};

const ALERT_AFTER: TimeDelta = TimeDelta::minutes(1);

/// A place that can't be reached is tried no more often than this.
const RETRY_DELAY: TimeDelta = TimeDelta::seconds(15);

/// How often a snapshot is asked for that the log can go on from.
const SNAPSHOT_REQUEST_INTERVAL: TimeDelta = TimeDelta::minutes(10);

/// How many notes are removed in one write: a few milliseconds of the writer's time.
const MAX_FORGOTTEN: usize = 10_000;

#[derive(Debug, Clone)]
pub struct ShipConfig {
    /// How often; none for not at all.
    pub every: Option<TimeDelta>,
    /// So many changes may wait; 25 bytes of the database each.
    pub most: u64,
}

#[derive(Debug, Clone)]
pub struct ShipDeps {
    pub kit: ActorKit,
    pub copier: DatabaseCopier,
    pub writer: DatabaseWriter,
    pub alert_sender: AlertSender,
    /// Takes the snapshots that the log goes on from.
    pub backup: BackupClient,
    /// Where a segment must be named to count; none without a cluster.
    pub cluster: Option<ClusterClient>,
}

#[derive(Debug)]
enum ShippingOutcome {
    /// All is in the backup, in this log.
    Complete(u64),
    /// There was too much: the log began anew.
    Restarted,
}

impl ShippingOutcome {
    /// An error unless everything is in the backup.
    fn into_complete(self) -> Result<()> {
        match self {
            Self::Complete(_) => Ok(()),
            Self::Restarted => {
                Err(Error::new(Code::Storage, "too many changes are waiting: they aren't in the backup"))
            }
        }
    }
}

#[derive(Debug)]
pub struct Shipper {
    config: ShipConfig,
    deps: ShipDeps,
    place: BackupPlace,
    timer: Timer,
    state: ShippingState,
    /// Since when it fails, and whether an alert was raised about it.
    failing: Option<(DateTime<Utc>, bool)>,
    last_request: DateTime<Utc>,
    is_shipping: bool,
    /// Whether what came since that began must be shipped, too.
    must_ship_again: bool,
    final_reply: Option<oneshot::Sender<Result<()>>>,
}

impl Shipper {
    pub fn start(arbiter: &ArbiterHandle, config: ShipConfig, place: BackupPlace, deps: ShipDeps) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            timer: Timer::default(),
            state: ShippingState { on: config.every.is_some(), ..ShippingState::default() },
            failing: None,
            // The backup actor checks by itself at the start whether one is needed.
            last_request: deps.kit.now(),
            is_shipping: false,
            must_ship_again: false,
            final_reply: None,
            config,
            deps,
            place,
        })
    }

    fn ship_segment(&mut self, ctx: &mut Context<Self>) {
        // The stop asks for one while another may be under way.
        if std::mem::replace(&mut self.is_shipping, true) {
            return;
        }
        let (deps, place, most, at) = (self.deps.clone(), self.place.clone(), self.config.most, self.now());
        let shipped = async move {
            match deps.copier.call(ReadSegment { at, most }).await {
                Ok(tail) => (tail.pending, ship_tail(&deps, &place, at, tail, most).await),
                Err(err) => (0, Err(err)),
            }
        };
        self.ask(ctx, shipped, move |this, (pending, outcome), ctx| {
            this.note_outcome(at, pending, &outcome, ctx);
            if std::mem::take(&mut this.must_ship_again) {
                return this.ship_segment(ctx);
            }
            if let Some(reply) = this.final_reply.take() {
                let _nobody_waits_any_more = reply.send(outcome.and_then(ShippingOutcome::into_complete));
            }
        });
    }

    fn note_outcome(
        &mut self,
        at: DateTime<Utc>,
        pending: u64,
        outcome: &Result<ShippingOutcome>,
        ctx: &mut Context<Self>,
    ) {
        self.is_shipping = false;
        self.state.problem = None;
        self.state.pending = pending;
        match outcome {
            Ok(ShippingOutcome::Complete(chain)) => {
                (self.failing, self.state.pending) = (None, 0);
                self.state.until = Some(at);
                if !self.state.based {
                    self.find_base(*chain, ctx);
                }
            }
            Ok(ShippingOutcome::Restarted) => {
                self.state.based = false;
                self.raise_alert("too many changes are waiting: a new change log begins with the next snapshot");
                self.request_snapshot(self.now());
            }
            Err(err) => self.note_failure(at, err),
        }
        if let Some(every) = self.config.every {
            // From the end, not the beginning: a slow place isn't asked twice at a time.
            let pause = if outcome.is_ok() { every } else { every.max(RETRY_DELAY) };
            self.wake_at(Some(self.now() + pause), ctx);
        }
    }

    fn note_failure(&mut self, at: DateTime<Utc>, err: &Error) {
        log::warn!("event=segment_not_shipped error={err:?}");
        self.state.problem = Some(err.detail.clone());
        let (since, is_raised) = *self.failing.get_or_insert((at, false));
        if !is_raised && self.now() - since >= ALERT_AFTER {
            self.failing = Some((since, true));
            self.raise_alert(&err.detail);
        }
    }

    /// Raises one alert; nothing says later that it is over.
    fn raise_alert(&self, problem: &str) {
        let since = self.state.until.map(|at| format!(" since {}", at.format("%Y-%m-%dT%H:%M:%SZ")));
        let msg = format!("changes{} aren't in the backup: {problem}", since.unwrap_or_default());
        self.deps.alert_sender.raise(snapshot_alert(msg, self.now()));
    }

    /// Checks whether there is a snapshot that this log goes on from; asks for one otherwise.
    fn find_base(&self, chain: u64, ctx: &mut Context<Self>) {
        self.ask(ctx, self.deps.backup.call(ReadBackup), move |this, backup, _| {
            let base = backup.ok().and_then(|backup| backup.log);
            this.state.based = base.is_some_and(|base| base.chain == chain);
            let now = this.now();
            if !this.state.based && now - this.last_request >= SNAPSHOT_REQUEST_INTERVAL {
                this.request_snapshot(now);
            }
        });
    }

    fn request_snapshot(&mut self, now: DateTime<Utc>) {
        self.last_request = now;
        self.deps.backup.hint(TakeBackup);
    }

    fn read_state(&mut self, _: ReadShippingState, _: &mut Context<Self>) -> Result<ShippingState> {
        Ok(self.state.clone())
    }

    fn stop_shipping(&mut self, _: StopShipping, ctx: &mut Context<Self>) -> Reply<Self, ()> {
        self.wake_at(None, ctx);
        let mut last = None;
        if self.config.every.take().is_some() {
            let (reply, shipped) = oneshot::channel();
            self.final_reply = Some(reply);
            // One that is under way was read before what was answered since.
            self.must_ship_again = self.is_shipping;
            self.ship_segment(ctx);
            last = Some(shipped);
        }
        let shipped = async move {
            let Some(shipped) = last else { return Ok(()) };
            shipped.await.unwrap_or_else(|_| Err(given_up("the last segment")))
        };
        self.reply_after(shipped, |_, shipped, _| shipped)
    }

    fn start_shipping(&mut self, ctx: &mut Context<Self>) {
        if self.config.every.is_some() {
            self.ship_segment(ctx);
        }
    }

    fn forget_segment(&mut self) {
        self.is_shipping = false;
        self.must_ship_again = false;
        // The stop gets an error.
        self.final_reply = None;
    }
}

/// Names what is in the place in the cluster's log; answers the number of the entry.
async fn share_record(deps: &ShipDeps, record: SharedRecord) -> Result<u64> {
    match &deps.cluster {
        Some(cluster) => cluster.call(AppendRecord(record)).await,
        None => Ok(0),
    }
}

async fn ship_tail(
    deps: &ShipDeps,
    place: &BackupPlace,
    at: DateTime<Utc>,
    tail: ChangeTail,
    most: u64,
) -> Result<ShippingOutcome> {
    let Some(chain) = tail.chain else {
        return Err(Error::new(Code::Internal, "changes are not recorded; restart the service"));
    };
    if tail.pending > most {
        // By a new number, so that segments of before and after never pass for one log.
        deps.writer.call(RestartChangeLog { chain: deps.kit.ids().random_bits() }).await?;
        return Ok(ShippingOutcome::Restarted);
    }
    let Some(segment) = tail.segment else {
        share_record(deps, SharedRecord::Current { at }).await?;
        return Ok(ShippingOutcome::Complete(chain));
    };
    // Before the notes are removed: after a crash in between the same changes are sent again, which does no harm.
    let path = place.put_segment(&segment).await.map_err(|err| storage_error(&err))?;
    let ChangeSegment { chain, upto, digest, bytes, .. } = segment;
    let bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let log = LogPoint { chain, position: upto };
    let record = SharedRecord::Segment { path: path.clone(), digest: digest.clone(), bytes, at, log };
    let entry = match share_record(deps, record).await {
        Err(err) if err.code == Code::NotLeader => {
            // Nobody will ever name it.
            place.remove_segment(&path).await.map_err(|err| storage_error(&err))?;
            return Err(err);
        }
        shared => shared?,
    };
    let forget = ForgetChanges { chain, upto, digest, entry, limit: MAX_FORGOTTEN };
    // In steps, between which the writer serves others.
    while deps.writer.call(forget.clone()).await? {}
    Ok(ShippingOutcome::Complete(chain))
}

handlers!(Shipper {
    ReadShippingState => read_state,
    async StopShipping => stop_shipping,
});

actor!(Shipper { kit: deps.kit, mailbox: 64, start: start_shipping, restart: forget_segment, wake: ship_segment });
