//! The leader's replica: it appends to the log, one entry at a time, and so keeps the lead.

use std::collections::{BTreeMap, VecDeque};
use std::future::ready;
use std::time::{Duration, Instant};

use actix::{Addr, ArbiterHandle, Context, Supervisor};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::{AlertKind, NewAlert};
use flowlord_kernel::{ActorKit, Code, Error, KernelActor, LatePort, Reply, Result, actor, handlers, time_since_boot};
use flowlord_messages::alerts::RaiseAlerts;
use flowlord_messages::changelog::LogPoint;
use flowlord_messages::cluster::{
    AppendRecord, AppendRows, ClusterChanged, ClusterState, DatabaseDifference, ForgetEntries, HandOver, LeaderLease,
    ListNodes, NodeAddress, NodeRole, NodeState, ReadCluster, ResignLead, SharedRecord, Takeover,
};
use flowlord_messages::snapshots::TakeBackup;
use tokio::sync::oneshot;

use crate::append::AppendOutcome;
use crate::cluster_log::ClusterLog;
use crate::entry::{EntryContent, LogEntry, content_of};
use crate::join::{Lead, NodeIdentity};
use crate::registry::{REGISTER_INTERVAL, list_nodes, register};
use crate::role_switch::{RoleChange, RoleSwitch};
use crate::workflow_source::{HASH_INTERVAL, WorkflowSource};

/// How often the leader shows that it lives: a lease holds through two that fail.
pub(crate) const BEAT_INTERVAL: Duration = Duration::from_millis(2_500);

/// How long an append may take before it is tried again.
const APPEND_TIMEOUT: Duration = Duration::from_secs(5);

const RETRY_DELAY: Duration = Duration::from_millis(250);

/// Beats are of no use once they are old: so many stay, which is some ten minutes.
const KEPT_BEATS: usize = 256;

/// From so many snapshots a follower can go on.
const KEPT_SNAPSHOTS: usize = 2;

const MAX_QUEUED: usize = 64;

/// A node that was seen so lately, and is behind by no more, can take over.
const SEEN_LATELY: TimeDelta = TimeDelta::seconds(30);
const MAX_SUCCESSOR_LAG_SECONDS: f64 = 30.;

/// How much longer than usual changes may wait to be sent. Then the lead is let go: what is acknowledged on it would be
/// lost with this node.
const MAX_UNSENT: TimeDelta = TimeDelta::seconds(30);

/// How often a snapshot is asked for on behalf of a follower.
const SNAPSHOT_INTERVAL: TimeDelta = TimeDelta::minutes(10);

/// Until then a node whose database differed has started with a new one, and a leader has told of it.
const TOLD_WITHIN: TimeDelta = TimeDelta::minutes(10);

#[derive(Debug, Clone)]
pub struct LeaderConfig {
    pub own: NodeIdentity,
    pub lead: Lead,
    /// How this node came to lead, however long ago.
    pub takeover: Option<Takeover>,
    /// Up to where segments hold the change log of the database; none before the first.
    pub sent: Option<LogPoint>,
    /// How often segments are sent.
    pub ship_every: TimeDelta,
    /// What makes the log less safe than it could be.
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct LeaderDeps {
    pub kit: ActorKit,
    pub lease: LeaderLease,
    pub role: RoleSwitch,
    pub changed: LatePort<ClusterChanged>,
    /// For a follower that needs one.
    pub snapshot: LatePort<TakeBackup>,
    pub alert: LatePort<RaiseAlerts>,
    pub workflows: WorkflowSource,
}

#[derive(Debug)]
struct QueuedEntry {
    content: EntryContent,
    /// What the entry carries.
    rows: Bytes,
    reply: Option<oneshot::Sender<Result<u64>>>,
}

pub struct Leader {
    config: LeaderConfig,
    deps: LeaderDeps,
    log: ClusterLog,
    /// The number of the newest entry.
    tail: u64,
    /// The first one is being appended.
    queue: VecDeque<QueuedEntry>,
    is_appending: bool,
    /// All that was acknowledged before is in the log.
    through: Option<DateTime<Utc>>,
    /// When all that there was had been sent last.
    sent_at: Instant,
    snapshot_asked_at: Option<DateTime<Utc>>,
    /// Nodes whose databases differed, each with when people were told.
    told_differences: BTreeMap<String, DateTime<Utc>>,
    /// The numbers of the entries that name the newest snapshots.
    snapshot_entries: VecDeque<u64>,
    /// The numbers of beats that aren't removed yet.
    beats: VecDeque<u64>,
    registered_at: Option<DateTime<Utc>>,
    /// The hash of its workflow files.
    workflows: Option<String>,
    problem: Option<String>,
    handing_to: Option<String>,
    is_over: bool,
}

impl Leader {
    pub fn start(arbiter: &ArbiterHandle, config: LeaderConfig, log: ClusterLog, deps: LeaderDeps) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            tail: config.lead.tail,
            queue: VecDeque::new(),
            is_appending: false,
            through: None,
            sent_at: Instant::now(),
            snapshot_asked_at: None,
            told_differences: BTreeMap::new(),
            snapshot_entries: VecDeque::new(),
            beats: VecDeque::new(),
            registered_at: None,
            workflows: None,
            problem: None,
            handing_to: None,
            is_over: false,
            config,
            deps,
            log,
        })
    }

    fn begin_lead(&mut self, ctx: &mut Context<Self>) {
        self.beat(ctx);
        self.hash_workflows(ctx);
    }

    fn hash_workflows(&mut self, ctx: &mut Context<Self>) {
        let read = self.deps.workflows.clone().read_hash();
        self.follow(ctx, read, |this, hash, ctx| {
            this.workflows = hash;
            this.follow(ctx, tokio::time::sleep(HASH_INTERVAL), |this, (), ctx| this.hash_workflows(ctx));
        });
    }

    // Not by the wall clock: a lead must not end because somebody sets it.
    fn beat_later(&self, ctx: &mut Context<Self>) {
        self.follow(ctx, tokio::time::sleep(BEAT_INTERVAL), |this, (), ctx| this.beat(ctx));
    }

    fn beat(&mut self, ctx: &mut Context<Self>) {
        if self.is_over {
            return;
        }
        if self.is_sending_stuck() {
            self.note_problem("changes can't be sent to the backup's place".to_owned());
        } else if self.queue.is_empty() {
            // What was acknowledged is in a log of transactions.
            let through = if self.log.holds_transactions() { Some(self.now()) } else { self.through };
            let content = EntryContent::Beat { through, workflows: self.workflows.clone() };
            self.queue.push_back(QueuedEntry { content, rows: Bytes::new(), reply: None });
            self.append_next(ctx);
        }
        self.register_node(ctx);
        self.publish_state();
        self.beat_later(ctx);
    }

    /// Without signs of life another node takes over, and the lease ends before that.
    fn is_sending_stuck(&self) -> bool {
        let most = (self.config.ship_every + MAX_UNSENT).to_std().unwrap_or_default();
        !self.log.holds_transactions() && self.sent_at.elapsed() > most
    }

    fn append_record(&mut self, AppendRecord(record): AppendRecord, ctx: &mut Context<Self>) -> Reply<Self, u64> {
        match &record {
            SharedRecord::Current { at } => {
                self.through = Some(*at);
                self.sent_at = Instant::now();
            }
            SharedRecord::Segment { log, .. } => {
                self.config.sent = Some(*log);
                self.sent_at = Instant::now();
            }
            SharedRecord::Snapshot { log, .. } => {
                // A follower that began with it would hold changes that all others lack, if this node died before
                // it sent them.
                if !self.holds(*log) {
                    return self.reply_after(ready(()), |_, (), _| Err(unsent_changes()));
                }
            }
            SharedRecord::Migration(_) => {}
        }
        let appended = match content_of(record) {
            Some(content) => self.append_content(content, Bytes::new(), ctx),
            None => ready_answer(Ok(self.tail)),
        };
        self.reply_after(appended, |_, appended, _| appended.unwrap_or_else(|_| Err(lost_answer())))
    }

    fn append_rows(
        &mut self,
        AppendRows { digest, bytes: rows, at }: AppendRows,
        ctx: &mut Context<Self>,
    ) -> Reply<Self, u64> {
        let bytes = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        let content = EntryContent::Rows { digest, bytes, through: at, path: None };
        let appended = self.append_content(content, rows, ctx);
        self.reply_after(appended, |_, appended, _| appended.unwrap_or_else(|_| Err(lost_answer())))
    }

    /// Whether entries that were appended, or wait before the next one, name all segments up to there.
    fn holds(&self, log: Option<LogPoint>) -> bool {
        let sent = self.config.sent;
        self.log.holds_transactions()
            || log.is_none_or(|log| {
                log.position == 0 || sent.is_some_and(|sent| sent.chain == log.chain && sent.position >= log.position)
            })
    }

    fn append_content(
        &mut self,
        content: EntryContent,
        rows: Bytes,
        ctx: &mut Context<Self>,
    ) -> oneshot::Receiver<Result<u64>> {
        if self.is_over {
            return ready_answer(Err(lead_lost()));
        }
        if self.queue.len() >= MAX_QUEUED {
            return ready_answer(Err(Error::new(Code::Busy, "too many entries wait to be appended; try again")));
        }
        let (reply, appended) = oneshot::channel();
        self.queue.push_back(QueuedEntry { content, rows, reply: Some(reply) });
        self.append_next(ctx);
        appended
    }

    fn append_next(&mut self, ctx: &mut Context<Self>) {
        if self.is_appending || self.is_over {
            return;
        }
        let Some(next) = self.queue.front_mut() else { return };
        if let EntryContent::Rows { digest, path, .. } = &mut next.content {
            // Only now: the name has the entry's number, which isn't known while others wait before it.
            *path = self.log.path_of_large(self.tail + 1, digest, next.rows.len());
        }
        let (content, rows) = (next.content.clone(), next.rows.clone());
        let entry = self.config.own.entry(self.config.lead.term, self.now(), content);
        self.is_appending = true;
        self.try_append(entry, rows, time_since_boot(), ctx);
    }

    /// The lease counts from `begun`, the first try of an entry: a follower may have seen it since then.
    fn try_append(&self, entry: LogEntry, rows: Bytes, begun: Duration, ctx: &mut Context<Self>) {
        let (log, number) = (self.log.clone(), self.tail + 1);
        let tried = async move {
            let outcome = tokio::time::timeout(APPEND_TIMEOUT, log.append_with(number, &entry, &rows)).await;
            (entry, rows, outcome.map_or_else(|_| Err(slow_place()), |outcome| outcome.map_err(|err| err.to_string())))
        };
        self.follow(ctx, tried, move |this, (entry, rows, outcome), ctx| match outcome {
            Ok(AppendOutcome::Done) => this.end_append(&entry, begun, ctx),
            // Only a node that took over writes at the next number.
            Ok(AppendOutcome::Taken(other)) => this.lose_lead(&other),
            Err(problem) => this.retry_append(entry, rows, begun, problem, ctx),
        });
    }

    fn end_append(&mut self, entry: &LogEntry, begun: Duration, ctx: &mut Context<Self>) {
        self.tail += 1;
        self.problem = None;
        // Before the answer: the writer acknowledges only while the lease is held.
        self.deps.lease.renew(begun);
        self.through = entry.through().or(self.through);
        if let EntryContent::Beat { .. } = entry.content {
            self.beats.push_back(self.tail);
        }
        if let Some(QueuedEntry { reply: Some(reply), .. }) = self.queue.pop_front() {
            let _nobody_waits_any_more = reply.send(Ok(self.tail));
        }
        self.is_appending = false;
        if let EntryContent::Snapshot { .. } = entry.content {
            self.trim_log(ctx);
        }
        // One for each entry is enough, since each entry is one beat at most.
        self.remove_old_beat(ctx);
        self.append_next(ctx);
    }

    /// The same entry again: whether it is there already is not known.
    fn retry_append(
        &mut self,
        entry: LogEntry,
        rows: Bytes,
        begun: Duration,
        problem: String,
        ctx: &mut Context<Self>,
    ) {
        self.note_problem(problem);
        let pause = tokio::time::sleep(RETRY_DELAY);
        self.follow(ctx, pause, move |this, (), ctx| this.try_append(entry, rows, begun, ctx));
    }

    /// Who needs a snapshot takes the newest, or the one before where that can't be read, and goes on from when it was
    /// begun: after the one before was there.
    fn trim_log(&mut self, ctx: &mut Context<Self>) {
        self.snapshot_entries.push_back(self.tail);
        if self.snapshot_entries.len() <= KEPT_SNAPSHOTS {
            return;
        }
        let Some(before) = self.snapshot_entries.pop_front() else { return };
        let log = self.log.clone();
        let trimmed = async move { log.trim(before).await };
        self.follow(ctx, trimmed, |_, trimmed, _| log_failure("entries_not_removed", &trimmed));
    }

    fn note_problem(&mut self, problem: String) {
        if self.problem.as_ref() != Some(&problem) {
            log::warn!("event=entry_not_appended number={} error={problem:?}", self.tail + 1);
            self.problem = Some(problem);
            self.publish_state();
        }
    }

    fn lose_lead(&mut self, other: &LogEntry) {
        // First: from here on nothing is acknowledged.
        self.deps.lease.give_up();
        self.end_lead();
        log::error!("event=lead_lost term={} to={:?} number={}", other.term, other.node, self.tail + 1);
        self.deps.role.change(RoleChange::Deposed { by: other.node.clone() });
    }

    fn end_lead(&mut self) {
        self.is_over = true;
        for entry in self.queue.drain(..) {
            if let Some(reply) = entry.reply {
                let _nobody_waits_any_more = reply.send(Err(lead_lost()));
            }
        }
    }

    fn remove_old_beat(&mut self, ctx: &mut Context<Self>) {
        if self.beats.len() <= KEPT_BEATS {
            return;
        }
        let (log, old) = (self.log.clone(), self.beats.pop_front());
        let removed = async move { log.remove(old.as_slice()).await };
        self.follow(ctx, removed, |_, removed, _| log_failure("entries_not_removed", &removed));
    }

    fn forget_entries(&mut self, ForgetEntries { before }: ForgetEntries, ctx: &mut Context<Self>) -> Result<()> {
        let log = self.log.clone();
        let forgotten = async move { log.forget(before).await };
        self.follow(ctx, forgotten, |_, forgotten, _| log_failure("entries_not_removed", &forgotten));
        Ok(())
    }

    fn register_node(&mut self, ctx: &mut Context<Self>) {
        let now = self.now();
        // A clock that was set back must not keep the node from registering until it shows that time again.
        if self.registered_at.is_some_and(|at| (now - at).abs() < REGISTER_INTERVAL) {
            return;
        }
        self.registered_at = Some(now);
        let (store, state) = (self.log.store.clone(), self.node_state(now));
        let registered = async move {
            register(&store, &state).await?;
            list_nodes(&store, now).await
        };
        self.follow(ctx, registered, |this, nodes, _| match nodes {
            Ok(nodes) => {
                this.help_followers(&nodes);
                this.tell_differences(&nodes);
            }
            Err(err) => log::warn!("event=node_not_registered error={err:?}"),
        });
    }

    /// A follower that can't go on without a new snapshot gets one.
    fn help_followers(&mut self, nodes: &[NodeState]) {
        let now = self.now();
        let is_needed = nodes.iter().any(|node| node.needs_snapshot && now - node.seen_at < SEEN_LATELY);
        let is_due = self.snapshot_asked_at.is_none_or(|at| (now - at).abs() > SNAPSHOT_INTERVAL);
        if is_needed && is_due && self.deps.snapshot.hint(TakeBackup) {
            self.snapshot_asked_at = Some(now);
        }
    }

    /// A node whose database was found to differ has a new one by then; why it differed is for people to find out.
    fn tell_differences(&mut self, nodes: &[NodeState]) {
        let now = self.now();
        for NodeState { address: NodeAddress { node, .. }, difference, .. } in nodes {
            let Some(DatabaseDifference { at, what }) = difference else { continue };
            // Another leader told of older ones.
            if now - *at > TOLD_WITHIN || self.told_differences.get(node) == Some(at) {
                continue;
            }
            let msg = format!(
                "the database of node {node} wasn't what the leader's is: {what}. A snapshot took its place; check the disks \
                 of {node} and {}",
                self.config.own.address.node
            );
            let alert = NewAlert::without_task(AlertKind::Storage, "cluster", msg, now);
            if self.deps.alert.hint(RaiseAlerts { alerts: vec![alert] }) {
                self.told_differences.insert(node.clone(), *at);
            }
        }
    }

    fn node_state(&self, now: DateTime<Utc>) -> NodeState {
        let NodeIdentity { address, version, .. } = self.config.own.clone();
        NodeState {
            address,
            role: NodeRole::Leader,
            applied: self.tail,
            lag_seconds: Some(0.),
            needs_snapshot: false,
            difference: None,
            version,
            seen_at: now,
        }
    }

    fn state(&self) -> ClusterState {
        let own = &self.config.own.address;
        ClusterState {
            node: Some(own.clone()),
            role: NodeRole::Leader,
            leader: Some(own.clone()).filter(|_| self.deps.lease.is_held()),
            term: self.config.lead.term,
            applied: self.tail,
            through: self.through,
            takeover: self.config.takeover.clone(),
            problem: self.problem.clone(),
            current_at: None,
            warnings: self.config.warnings.clone(),
            has_older_tables: false,
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

    fn hand_over(&mut self, HandOver { to }: HandOver, _: &mut Context<Self>) -> Reply<Self, ()> {
        let (store, now) = (self.log.store.clone(), self.now());
        self.reply_after(async move { list_nodes(&store, now).await }, move |this, nodes, _| {
            let nodes = nodes.map_err(|err| away(&err))?;
            let own = &this.config.own.address.node;
            let wanted = |node: &&NodeState| to.as_ref().is_none_or(|to| *to == node.address.node);
            let ready = nodes.iter().filter(|node| is_ready(node, own, now)).filter(wanted);
            // The one that has least left to apply before it can lead.
            let next = ready.max_by_key(|node| node.applied).ok_or_else(|| no_successor(to.as_deref()))?;
            // By name: this node restarts, and must not be the first to lead again.
            this.handing_to = Some(next.address.node.clone());
            this.deps.role.change(RoleChange::HandsOver);
            Ok(())
        })
    }

    fn resign_lead(&mut self, _: ResignLead, ctx: &mut Context<Self>) -> Reply<Self, ()> {
        let appended = self.append_content(EntryContent::Bye { to: self.handing_to.clone() }, Bytes::new(), ctx);
        self.reply_after(appended, |this, appended, _| {
            this.deps.lease.give_up();
            this.end_lead();
            appended.unwrap_or_else(|_| Err(lost_answer())).map(drop)
        })
    }

    fn forget_appends(&mut self) {
        // What was being appended may be there: without its number nobody can go on.
        self.deps.lease.give_up();
        self.end_lead();
        self.deps.kit.give_up();
    }
}

fn is_ready(node: &NodeState, own: &str, now: DateTime<Utc>) -> bool {
    let is_near = node.lag_seconds.is_some_and(|lag| lag < MAX_SUCCESSOR_LAG_SECONDS);
    node.role == NodeRole::Follower && node.address.node != own && is_near && now - node.seen_at < SEEN_LATELY
}

fn no_successor(to: Option<&str>) -> Error {
    let detail = match to {
        Some(to) => format!(
            "node {to} is no follower that was seen in the last 30 s and has caught up: see `flowlord cluster status`"
        ),
        None => "no follower that has caught up was seen in the last 30 s: start one with `flowlord serve --standby`"
            .to_owned(),
    };
    Error::new(Code::InvalidRequest, detail)
}

fn ready_answer(answer: Result<u64>) -> oneshot::Receiver<Result<u64>> {
    let (reply, answered) = oneshot::channel();
    let _is_received_below = reply.send(answer);
    answered
}

fn lead_lost() -> Error {
    Error::new(Code::NotLeader, "this node leads no more; nothing was appended to the cluster's log")
}

fn unsent_changes() -> Error {
    Error::new(Code::NotReady, "the snapshot holds changes that aren't in the cluster's log yet; try again")
}

fn lost_answer() -> Error {
    Error::new(Code::Internal, "the answer to an append was lost; see the log")
}

fn slow_place() -> String {
    format!("the backup's place didn't answer within {} s", APPEND_TIMEOUT.as_secs())
}

pub(crate) fn away(err: &flowlord_storage::Error) -> Error {
    Error::new(Code::Storage, format!("the cluster's log can't be read: {err}"))
}

pub(crate) fn log_failure(event: &str, outcome: &flowlord_storage::Result<()>) {
    if let Err(err) = outcome {
        log::warn!("event={event} error={err:?}");
    }
}

handlers!(Leader {
    async AppendRecord => append_record,
    async AppendRows => append_rows,
    ForgetEntries => forget_entries,
    async HandOver => hand_over,
    async ListNodes => list_nodes,
    ReadCluster => read_state,
    async ResignLead => resign_lead,
});

actor!(Leader { kit: deps.kit, mailbox: 1024, start: begin_lead, restart: forget_appends });

#[cfg(test)]
mod tests;
