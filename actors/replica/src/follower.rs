//! A follower's replica: it applies the log entry by entry, and takes the lead when the leader is silent.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use actix::{Addr, ArbiterHandle, Context, Supervisor};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_kernel::{ActorKit, KernelActor, LatePort, Reply, Result, actor, handlers};
use flowlord_messages::clients::FollowedDatabase;
use flowlord_messages::cluster::{
    ApplyMigration, ApplyRows, ApplySegment, ClusterChanged, ClusterState, DatabaseDifference, ListNodes, NodeAddress,
    NodeRole, NodeState, ReadCluster, SegmentOutcome, StopFollowing, Takeover,
};
use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, ready};

use crate::append::{AppendOutcome, FetchedEntry};
use crate::cluster_log::ClusterLog;
use crate::entry::{EntryContent, FormerLead, LogEntry};
use crate::join::{LastEntry, NodeIdentity};
use crate::leader::{away, log_failure};
use crate::registry::{REGISTER_INTERVAL, list_nodes, register};
use crate::role_switch::{RoleChange, RoleSwitch};
use crate::workflow_source::{HASH_INTERVAL, WorkflowComparison, WorkflowSource};

/// How often a follower looks for the next entry.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// So many entries are read ahead at most, while there are many.
const MAX_BATCH: usize = 16;

/// After no more than this a leader shows that it lives: then the next number is one that was removed.
const HOLE_SILENCE: Duration = Duration::from_secs(3);

/// How often it registers itself until it knows by how much it is behind.
const FIRST_REGISTER_INTERVAL: TimeDelta = TimeDelta::seconds(1);

/// A snapshot counts once its receipt is there, which is written right after its entry.
const RECEIPT_DELAY: TimeDelta = TimeDelta::seconds(5);

#[derive(Debug, Clone)]
pub struct FollowerConfig {
    pub own: NodeIdentity,
    /// The last entry that the database is known to hold.
    pub applied: u64,
    /// The version of the database's tables.
    pub schema: usize,
    /// The version that this program writes.
    pub own_schema: usize,
    /// See [`NodeFile`](crate::NodeFile).
    pub reseeded_for: Option<u64>,
    /// What its database differed in last.
    pub difference: Option<DatabaseDifference>,
    /// The database holds all that was acknowledged before; none while that isn't known.
    pub through: Option<DateTime<Utc>>,
    /// How long it hears nothing before it takes over.
    pub silence: Duration,
    /// Who led when it joined.
    pub last: LastEntry,
    /// What makes the log less safe than it could be.
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct FollowerDeps {
    pub kit: ActorKit,
    pub database: FollowedDatabase,
    pub role: RoleSwitch,
    pub changed: LatePort<ClusterChanged>,
    pub workflows: WorkflowSource,
}

/// The node that an entry named last, as long as it hasn't left.
#[derive(Debug, Clone)]
struct KnownLeader {
    address: NodeAddress,
    id: String,
    /// To whom it left the lead; none while it leads.
    bye: Option<Option<String>>,
}

impl KnownLeader {
    fn of(entry: &LogEntry) -> Self {
        let bye = match &entry.content {
            EntryContent::Bye { to } => Some(to.clone()),
            _ => None,
        };
        Self { address: entry.leader(), id: entry.id.clone(), bye }
    }
}

/// Why nothing is applied any more.
#[derive(Debug)]
enum FollowProblem {
    /// A snapshot that is made later would help. One was made then.
    Diverged {
        entry: u64,
        why: String,
        snapshot_at: Option<DateTime<Utc>>,
    },
    Newer(String),
}

pub struct Follower {
    config: FollowerConfig,
    deps: FollowerDeps,
    log: ClusterLog,
    leader: Option<KnownLeader>,
    term: u64,
    /// The number of the last entry that is in the database, or needn't be.
    position: u64,
    through: Option<DateTime<Utc>>,
    /// When it held last all that was in the log.
    current_at: Option<DateTime<Utc>>,
    takeover: Option<Takeover>,
    workflows: WorkflowComparison,
    /// The number at which it tried last to lead.
    tried_at: Option<u64>,
    /// When a new entry was read last.
    heard_at: Instant,
    /// When all numbers were listed last.
    looked_at: Instant,
    batch: usize,
    problem: Option<FollowProblem>,
    /// Why the place can't be read.
    outage: Option<String>,
    registered_at: Option<DateTime<Utc>>,
    is_known_near: bool,
    is_over: bool,
}

impl Follower {
    pub fn start(arbiter: &ArbiterHandle, config: FollowerConfig, log: ClusterLog, deps: FollowerDeps) -> Addr<Self> {
        let last = config.last.0.as_ref();
        let (leader, term) = (last.map(KnownLeader::of), last.map_or(0, |last| last.term));
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            position: config.applied,
            through: config.through,
            config,
            deps,
            log,
            leader,
            term,
            looked_at: Instant::now(),
            current_at: None,
            takeover: None,
            workflows: WorkflowComparison::default(),
            tried_at: None,
            heard_at: Instant::now(),
            batch: MAX_BATCH,
            problem: None,
            outage: None,
            registered_at: None,
            is_known_near: false,
            is_over: false,
        })
    }

    fn begin_following(&mut self, ctx: &mut Context<Self>) {
        self.poll_log(ctx);
        self.hash_workflows(ctx);
    }

    fn hash_workflows(&mut self, ctx: &mut Context<Self>) {
        let read = self.deps.workflows.clone().read_hash();
        self.follow(ctx, read, |this, hash, ctx| {
            this.workflows.own = hash;
            if let Some(warning) = this.workflow_warning() {
                log::warn!("event=workflows_differ detail={warning:?}");
            }
            this.follow(ctx, tokio::time::sleep(HASH_INTERVAL), |this, (), ctx| this.hash_workflows(ctx));
        });
    }

    fn workflow_warning(&self) -> Option<String> {
        self.leader.as_ref().and_then(|leader| self.workflows.warning(&leader.address.node))
    }

    fn poll_log(&mut self, ctx: &mut Context<Self>) {
        if self.is_over {
            return;
        }
        self.register_node(ctx);
        let (log, after, most, fetches) = (self.log.clone(), self.position, self.batch, self.problem.is_none());
        let read = async move { log.read_batch(after, most, fetches).await };
        self.follow(ctx, read, |this, read, ctx| match read {
            Ok(entries) if entries.is_empty() => this.note_silence(ctx),
            Ok(entries) => {
                this.outage = None;
                this.heard_at = Instant::now();
                // Reading ahead costs a place a request for each number, also for those that nobody has written yet.
                this.batch = (entries.len() * 2).clamp(1, MAX_BATCH);
                this.apply_entries(entries, ctx);
            }
            Err(err) => this.note_outage(&err, ctx),
        });
    }

    fn poll_later(&self, ctx: &mut Context<Self>) {
        self.follow(ctx, tokio::time::sleep(POLL_INTERVAL), |this, (), ctx| this.poll_log(ctx));
    }

    /// A stream has waited already.
    fn poll_after_silence(&mut self, ctx: &mut Context<Self>) {
        if self.log.holds_transactions() { self.poll_log(ctx) } else { self.poll_later(ctx) }
    }

    fn note_outage(&mut self, err: &flowlord_storage::Error, ctx: &mut Context<Self>) {
        let problem = away(err).detail;
        if self.outage.as_ref() != Some(&problem) {
            log::warn!("event=log_not_read error={problem:?}");
            self.outage = Some(problem);
            self.publish_state();
        }
        // A leader that nobody can hear may live: its silence counts from when it can be heard again.
        self.heard_at = Instant::now();
        self.poll_later(ctx);
    }

    fn apply_entries(&mut self, mut entries: VecDeque<FetchedEntry>, ctx: &mut Context<Self>) {
        while let Some(fetched) = entries.pop_front() {
            if self.is_over {
                return;
            }
            self.note_leader(fetched.number, &fetched.entry);
            let FetchedEntry { number, entry, changes } = fetched;
            if self.problem.is_none() {
                if self.log.holds_transactions() && number != self.position + 1 {
                    // A stream removes what a snapshot holds, so changes may have been among them.
                    let why = format!("the log has no entries from {} to {} any more", self.position + 1, number - 1);
                    return self.diverge(number, why, false, ctx);
                }
                if let Some(applied) = self.apply_changes(number, &entry, changes) {
                    return self.go_on_applied(number, applied, entry, entries, ctx);
                }
            }
            self.note_applied(number, &entry);
        }
        self.publish_state();
        self.poll_log(ctx);
    }

    /// None where an entry changes nothing.
    fn apply_changes(
        &self,
        number: u64,
        entry: &LogEntry,
        changes: Option<Bytes>,
    ) -> Option<LocalBoxFuture<'static, Result<SegmentOutcome>>> {
        let database = self.deps.database.clone();
        match (&entry.content, changes) {
            (EntryContent::Rows { digest, .. }, Some(bytes)) => {
                let apply = ApplyRows { entry: number, digest: digest.clone(), bytes };
                Some(database.call(apply).boxed_local())
            }
            // A log of transactions holds what the segment does.
            (EntryContent::Segment { .. }, _) if self.log.holds_transactions() => None,
            (EntryContent::Segment { digest, .. }, Some(bytes)) => {
                let apply = ApplySegment { entry: number, digest: digest.clone(), bytes: bytes.to_vec() };
                Some(database.call(apply).boxed_local())
            }
            (EntryContent::Migrate { .. }, _) => {
                let Some(migration) = entry.content.migration() else {
                    let why = "the log's change of the tables can't be read".to_owned();
                    return Some(ready(Ok(SegmentOutcome::Diverged(why))).boxed_local());
                };
                let has_frames = self.log.holds_transactions();
                let apply = ApplyMigration { entry: number, migration, has_frames, at: entry.at };
                Some(database.call(apply).boxed_local())
            }
            (EntryContent::Segment { path, .. }, None) => {
                Some(ready(Ok(SegmentOutcome::Diverged(format!("{path} is missing")))).boxed_local())
            }
            _ => None,
        }
    }

    fn go_on_applied(
        &mut self,
        number: u64,
        applied: LocalBoxFuture<'static, Result<SegmentOutcome>>,
        entry: LogEntry,
        rest: VecDeque<FetchedEntry>,
        ctx: &mut Context<Self>,
    ) {
        self.follow(ctx, applied, move |this, outcome, ctx| match outcome {
            Ok(SegmentOutcome::Applied { .. }) => {
                this.note_applied(number, &entry);
                this.apply_entries(rest, ctx);
            }
            Ok(SegmentOutcome::Diverged(why)) => this.diverge(number, why, false, ctx),
            Ok(SegmentOutcome::Differs(why)) => this.diverge(number, why, true, ctx),
            Ok(SegmentOutcome::Newer(why)) => {
                log::error!("event=not_followed entry={number} error={why:?}");
                this.problem = Some(FollowProblem::Newer(why));
                this.poll_later(ctx);
            }
            // The disk may come back.
            Err(err) => {
                log::warn!("event=segment_not_applied entry={number} error={err:?}");
                this.heard_at = Instant::now();
                this.poll_later(ctx);
            }
        });
    }

    fn note_leader(&mut self, number: u64, entry: &LogEntry) {
        // Also of an entry that can't be applied: who leads is known all the same.
        self.leader = Some(KnownLeader::of(entry));
        self.term = entry.term;
        self.takeover = entry.takeover().or(self.takeover.take());
        if let EntryContent::Beat { workflows, .. } = &entry.content {
            self.workflows.leader.clone_from(workflows);
        }
        let begins_term = matches!(entry.content, EntryContent::Term { .. });
        if begins_term && entry.id == self.config.own.id && self.tried_at == Some(number) {
            // Its answer was lost. The start checks that nothing newer is there.
            self.change_role(RoleChange::Leads);
        }
    }

    fn note_applied(&mut self, number: u64, entry: &LogEntry) {
        self.position = number;
        match &mut self.problem {
            None => {
                self.through = entry.through().or(self.through);
                self.note_migration(&entry.content);
            }
            Some(FollowProblem::Diverged { entry: needed, why, snapshot_at }) => {
                if matches!(entry.content, EntryContent::Snapshot { .. }) {
                    *snapshot_at = Some(entry.at);
                }
                if snapshot_at.is_some_and(|at| entry.at - at > RECEIPT_DELAY) {
                    let change = RoleChange::Reseeds { entry: *needed, why: why.clone(), is_different: false };
                    self.change_role(change);
                }
            }
            Some(FollowProblem::Newer(_)) => {}
        }
    }

    fn note_migration(&mut self, content: &EntryContent) {
        if let EntryContent::Migrate { to, .. } = content {
            self.config.schema = *to;
            // The leader is silent for as long as its tables change, and so was this node.
            self.heard_at = Instant::now();
        }
    }

    /// The database can't go on from here. A snapshot takes its place, at once unless that was tried for this entry.
    fn diverge(&mut self, number: u64, why: String, is_different: bool, ctx: &mut Context<Self>) {
        log::error!("event=not_followed entry={number} is_different={is_different} error={why:?}");
        if self.config.reseeded_for == Some(number) {
            self.problem = Some(FollowProblem::Diverged { entry: number, why, snapshot_at: None });
            self.poll_later(ctx);
        } else {
            self.change_role(RoleChange::Reseeds { entry: number, why, is_different });
        }
        self.publish_state();
    }

    fn note_silence(&mut self, ctx: &mut Context<Self>) {
        self.outage = None;
        let is_stream = self.log.holds_transactions();
        if is_stream {
            // The end of a stream is the end; a number that is free in a place may be that of a beat that was removed.
            self.current_at = Some(self.now());
        } else {
            self.batch = 1;
        }
        if self.may_take_over() {
            self.take_over(ctx);
        } else if !is_stream && self.is_look_due() {
            self.pass_hole(ctx);
        } else {
            self.poll_after_silence(ctx);
        }
    }

    fn is_look_due(&self) -> bool {
        // Before it would take over: a leader may be alive behind the hole.
        self.heard_at.max(self.looked_at).elapsed() >= HOLE_SILENCE.min(self.config.silence / 2)
    }

    /// Old beats are removed: behind their numbers the log may go on.
    fn pass_hole(&mut self, ctx: &mut Context<Self>) {
        self.looked_at = Instant::now();
        let (log, position) = (self.log.clone(), self.position);
        let looked = async move { log.next_after(position).await };
        self.follow(ctx, looked, |this, next, ctx| match next {
            Ok(Some(next)) => this.go_on_at(next, ctx),
            Ok(None) => this.poll_later(ctx),
            Err(err) => this.note_outage(&err, ctx),
        });
    }

    fn go_on_at(&mut self, next: u64, ctx: &mut Context<Self>) {
        self.position = next - 1;
        self.batch = MAX_BATCH;
        self.poll_log(ctx);
    }

    fn may_take_over(&self) -> bool {
        // A database that isn't up to date must not lead; one that never heard of a leader has nobody to follow.
        let Some(leader) = &self.leader else { return false };
        let own = &self.config.own.address.node;
        let is_called = leader.bye.as_ref().is_some_and(|to| to.as_ref().is_none_or(|to| to == own));
        // It led, and was started anew: nobody else has its data folder.
        let is_own = leader.id == self.config.own.id && leader.bye.is_none();
        self.problem.is_none() && (is_called || is_own || self.heard_at.elapsed() >= self.config.silence)
    }

    fn take_over(&mut self, ctx: &mut Context<Self>) {
        let Some(leader) = self.leader.clone() else { return };
        let is_other = leader.id != self.config.own.id;
        let former = is_other.then(|| FormerLead {
            node: leader.address.node.clone(),
            is_handover: leader.bye.is_some(),
            through: self.through,
            is_complete: self.log.holds_transactions(),
        });
        let term = self.config.own.term_entry(self.term + 1, self.now(), former);
        let (log, position) = (self.log.clone(), self.position);
        self.tried_at = Some(position + 1);
        log::warn!("event=taking_over term={} after={:?}", term.term, leader.address.node);
        let tried = async move { take_number_after(&log, position, &term).await };
        self.follow(ctx, tried, |this, tried, ctx| match tried {
            Ok(Attempted::Leads) => this.change_role(RoleChange::Leads),
            Ok(Attempted::Behind(next)) => this.go_on_at(next, ctx),
            Ok(Attempted::Lost) => this.poll_log(ctx),
            // Whether it is there is read by the next poll.
            Err(err) => this.note_outage(&err, ctx),
        });
    }

    fn change_role(&mut self, change: RoleChange) {
        self.is_over = true;
        self.deps.role.change(change);
    }

    fn register_node(&mut self, ctx: &mut Context<Self>) {
        let now = self.now();
        // At once when it has caught up first: from then on it can take over.
        let interval = if self.is_known_near { REGISTER_INTERVAL } else { FIRST_REGISTER_INTERVAL };
        if self.registered_at.is_some_and(|at| (now - at).abs() < interval) {
            return;
        }
        self.registered_at = Some(now);
        self.is_known_near = self.through.is_some();
        let (store, state) = (self.log.store.clone(), self.node_state(now));
        let registered = async move { register(&store, &state).await };
        self.follow(ctx, registered, |_, registered, _| log_failure("node_not_registered", &registered));
        self.publish_state();
    }

    fn node_state(&self, now: DateTime<Utc>) -> NodeState {
        let NodeIdentity { address, version, .. } = self.config.own.clone();
        let lag_seconds = self.state().lag_seconds(now);
        NodeState {
            address,
            role: NodeRole::Follower,
            applied: self.position,
            lag_seconds,
            needs_snapshot: matches!(self.problem, Some(FollowProblem::Diverged { .. })),
            difference: self.config.difference.clone(),
            version,
            seen_at: now,
        }
    }

    fn state(&self) -> ClusterState {
        let problem = match &self.problem {
            Some(FollowProblem::Diverged { why, .. }) => Some(format!("it waits for a new snapshot: {why}")),
            Some(FollowProblem::Newer(why)) => Some(why.clone()),
            None => self.outage.clone(),
        };
        let leads = self.leader.as_ref().filter(|leader| leader.bye.is_none());
        ClusterState {
            node: Some(self.config.own.address.clone()),
            role: NodeRole::Follower,
            leader: leads.map(|leader| leader.address.clone()),
            term: self.term,
            applied: self.position,
            through: self.through,
            takeover: self.takeover.clone(),
            problem,
            current_at: self.current_at,
            warnings: self.config.warnings.iter().cloned().chain(self.workflow_warning()).collect(),
            has_older_tables: self.config.schema < self.config.own_schema,
        }
    }

    fn publish_state(&self) {
        self.deps.changed.hint(ClusterChanged(self.state()));
    }

    fn read_state(&mut self, _: ReadCluster, _: &mut Context<Self>) -> Result<ClusterState> {
        Ok(self.state())
    }

    fn list_nodes(&mut self, _: ListNodes, _: &mut Context<Self>) -> Reply<Self, Vec<NodeState>> {
        let (store, now) = (self.log.store.clone(), self.now());
        self.reply_after(async move { list_nodes(&store, now).await }, |_, nodes, _| nodes.map_err(|err| away(&err)))
    }

    fn stop_following(&mut self, _: StopFollowing, _: &mut Context<Self>) -> Result<()> {
        self.is_over = true;
        Ok(())
    }
}

/// What became of a try to lead.
enum Attempted {
    Leads,
    /// Another entry has the number.
    Lost,
    /// There are newer entries, from this number on.
    Behind(u64),
}

/// Writes the entry of a term behind the last entry of all.
async fn take_number_after(log: &ClusterLog, position: u64, term: &LogEntry) -> flowlord_storage::Result<Attempted> {
    // Old beats are removed: that the next number is free doesn't mean that it is the newest.
    if let Some(next) = log.next_after(position).await? {
        return Ok(Attempted::Behind(next));
    }
    if log.append_with(position + 1, term, &Bytes::new()).await? != AppendOutcome::Done {
        return Ok(Attempted::Lost);
    }
    // A process that stood still before it wrote may have hit a number that was removed meanwhile.
    match log.next_after(position + 1).await? {
        Some(next) => Ok(Attempted::Behind(next)),
        None => Ok(Attempted::Leads),
    }
}

handlers!(Follower {
    async ListNodes => list_nodes,
    ReadCluster => read_state,
    StopFollowing => stop_following,
});

actor!(Follower { kit: deps.kit, mailbox: 1024, start: begin_following });
