//! What the service is at its start: by itself, or the leader or a follower of a cluster.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use flowlord_backup::BackupPlace;
use flowlord_db::{DamageMark, DatabaseCondition, FolderLock, LogState, OwnLead};
use flowlord_domain::IdSource as _;
use flowlord_kernel::{ActorEnvironment, Port};
use flowlord_messages::cluster::{AppendRows, DatabaseDifference, LeaderLease, SchemaMigration, Takeover};
use flowlord_replica::{
    ClusterLog, JoinError, JoinedRole, LastEntry, Lead, NodeFile, NodeIdentity, OwnDatabase, PlaceLog, StreamConfig,
    StreamLog, join,
};
use flowlord_storage::StorageConnections;

use crate::config::{ClusterConfig, Config};
use crate::recovery;

/// How long to wait until the backup's place is asked again.
const RETRY_DELAY: Duration = Duration::from_secs(2);

pub(super) enum NodeStart {
    Single,
    Leader(LeaderStart),
    Follower(FollowerStart),
}

pub(super) struct LeaderStart {
    pub(super) own: NodeIdentity,
    pub(super) log: ClusterLog,
    pub(super) warnings: Vec<String>,
    pub(super) lead: Lead,
    /// How this node came to lead, however long ago.
    pub(super) takeover: Option<Takeover>,
    pub(super) lease: LeaderLease,
    /// Where its own database stands.
    pub(super) state: Option<LogState>,
}

pub(super) struct FollowerStart {
    pub(super) own: NodeIdentity,
    pub(super) log: ClusterLog,
    pub(super) warnings: Vec<String>,
    pub(super) applied: u64,
    /// The version of its tables.
    pub(super) schema: usize,
    pub(super) reseeded_for: Option<u64>,
    pub(super) difference: Option<DatabaseDifference>,
    pub(super) through: Option<DateTime<Utc>>,
    pub(super) last: LastEntry,
}

impl NodeStart {
    /// What the database must know of the lead; `append` is to the replica.
    pub(super) fn own_lead(&self, append: Option<Port<AppendRows>>) -> OwnLead {
        match self {
            Self::Leader(LeaderStart { lease, lead, log, .. }) => {
                let append = append.filter(|_| log.holds_transactions());
                OwnLead { lease: lease.clone(), entry: lead.tail, log: append }
            }
            Self::Single | Self::Follower(_) => OwnLead::of_single(),
        }
    }

    /// Whether it begins a log that no snapshot leads into.
    pub(super) fn begins_log(&self) -> bool {
        matches!(self, Self::Leader(start) if start.lead.is_first)
    }
}

impl LeaderStart {
    /// How its database becomes that of this program, as the log tells the others; none where a snapshot must tell them.
    pub(super) fn plan_migration(&self, data: &Path, chain: u64) -> Option<SchemaMigration> {
        // What no segment holds yet can't be sent once the tables are others.
        let is_shared = self.log.holds_transactions() || !flowlord_db::log_state(data)?.has_unsent();
        flowlord_db::plan_migration(data, chain).filter(|_| is_shared)
    }
}

/// A node on its way into the cluster.
struct JoiningNode<'a> {
    place: BackupPlace,
    log: ClusterLog,
    warnings: Vec<String>,
    own: NodeIdentity,
    file: NodeFile,
    lock: &'a FolderLock,
    environment: &'a ActorEnvironment,
}

/// Reads what the node is to be. Where it leads, it does so from now on; where it follows, its database is there.
pub(super) async fn start_node(
    config: &Config,
    stores: &StorageConnections,
    lock: &FolderLock,
    environment: &ActorEnvironment,
) -> anyhow::Result<NodeStart> {
    let place = BackupPlace::open(&config.snapshots(), stores)?;
    let place_log = PlaceLog::new(place.storage());
    let Some(cluster) = &config.cluster else {
        refuse_foreign_place(config, &place_log).await?;
        return Ok(NodeStart::Single);
    };
    let log = match &cluster.log {
        Some(stream) => ClusterLog::in_stream(connect_stream(stream).await, place.storage()),
        None => ClusterLog::in_place(place.storage()),
    };
    let file = NodeFile::read(lock.folder(), &mut environment.ids.clone())
        .with_context(|| format!("{} can't be read", lock.folder().join("cluster.json").display()))?;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let own = NodeIdentity { address: cluster.address.clone(), id: file.id.clone(), version };
    JoiningNode { place, log, warnings: Vec::new(), own, file, lock, environment }.start(cluster).await
}

/// Servers that are away keep a node waiting.
async fn connect_stream(config: &StreamConfig) -> StreamLog {
    loop {
        match StreamLog::connect(config).await {
            Ok(log) => return log,
            Err(err) => log::warn!("event=cluster_not_joined error={:?}", err.to_string()),
        }
        tokio::time::sleep(RETRY_DELAY).await;
    }
}

/// A service without a cluster must not send segments into the log of one.
async fn refuse_foreign_place(config: &Config, log: &PlaceLog) -> anyhow::Result<()> {
    // A place that is away keeps nobody from starting.
    let is_foreign = config.backup.shipping().is_some() && log.has_entries().await.unwrap_or(false);
    anyhow::ensure!(
        !is_foreign,
        "backup.path {} is the place of a cluster: set cluster.node and cluster.url, or another backup.path",
        config.snapshots()
    );
    Ok(())
}

impl JoiningNode<'_> {
    async fn start(mut self, cluster: &ClusterConfig) -> anyhow::Result<NodeStart> {
        // Before anything is written into the log under this id.
        self.write_file()?;
        let state = flowlord_db::log_state(self.lock.folder());
        let joined = self.join(cluster.is_standby, state.as_ref()).await?;
        self.warn_of_log().await;
        match joined {
            JoinedRole::Leader(lead) => self.start_leader(lead, state),
            JoinedRole::Follower(last) => self.start_follower(last, state).await,
        }
    }

    async fn join(&self, is_standby: bool, state: Option<&LogState>) -> anyhow::Result<JoinedRole> {
        let database = self.own_database(state);
        loop {
            match self.try_join(is_standby, &database).await {
                // A place that is away keeps a node waiting.
                Err(JoinError::Place(err)) => log::warn!("event=cluster_not_joined error={:?}", err.to_string()),
                joined => return Ok(joined?),
            }
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }

    fn own_database(&self, state: Option<&LogState>) -> OwnDatabase {
        // A log of transactions holds what this one lost: to restore an older state and lead would lose it for all.
        let state = state.filter(|_| !self.log.holds_transactions() || self.is_sound());
        OwnDatabase {
            applied: state.map_or(0, |state| state.entry),
            point: state.map(|state| state.point),
            begins_log: self.file.begins_log,
        }
    }

    async fn warn_of_log(&mut self) {
        self.warnings = self.log.warnings().await.unwrap_or_default();
        for warning in &self.warnings {
            log::warn!("event=log_unsafe detail={warning:?}");
        }
    }

    async fn try_join(&self, is_standby: bool, database: &OwnDatabase) -> Result<JoinedRole, JoinError> {
        let probe = format!("{}-{:016x}", self.own.id, self.environment.ids.clone().random_bits());
        if !self.log.keeps_first(&probe).await? {
            return Err(JoinError::Overwrites { place: self.place.location("") });
        }
        join(&self.log, &self.own, is_standby, database, self.environment.clock.now()).await
    }

    fn start_leader(mut self, lead: Lead, state: Option<LogState>) -> anyhow::Result<NodeStart> {
        (self.file.has_led, self.file.begins_log) = (true, false);
        self.file.takeover = lead.takeover.clone().or(self.file.takeover.take());
        self.write_file()?;
        let lease = LeaderLease::lapsed();
        lease.renew(lead.begun);
        log::info!("event=leading node={:?} term={} entry={}", self.own.address.node, lead.term, lead.tail);
        let Self { own, log, warnings, file: NodeFile { takeover, .. }, .. } = self;
        Ok(NodeStart::Leader(LeaderStart { own, log, warnings, lead, takeover, lease, state }))
    }

    async fn start_follower(mut self, last: LastEntry, state: Option<LogState>) -> anyhow::Result<NodeStart> {
        let usable = state.filter(|state| self.can_follow(state));
        let state = match usable {
            Some(state) => state,
            None => self.seed().await?,
        };
        log::info!("event=following node={:?} entry={}", self.own.address.node, state.entry);
        let LogState { entry: applied, schema, .. } = state;
        let Self { own, log, warnings, file, .. } = self;
        let NodeFile { reseeded_for, seeded_at: through, difference, .. } = file;
        let start = FollowerStart { own, log, warnings, applied, schema, reseeded_for, difference, through, last };
        Ok(NodeStart::Follower(start))
    }

    /// Whether the database that is here may go on with the log of another leader.
    fn can_follow(&self, state: &LogState) -> bool {
        // A log of transactions has each before it is committed here.
        let has_own_changes = !self.log.holds_transactions() && self.file.has_led && state.has_unsent();
        if has_own_changes {
            // Acknowledged here and lost with the lead. They stay in the file that is kept.
            let count = state.point.position - state.taken;
            log::error!("event=changes_left_behind changes={count} after_entry={}", state.entry);
        }
        self.is_sound() && !has_own_changes
    }

    fn is_sound(&self) -> bool {
        let data = self.lock.folder();
        let is_marked = DamageMark::read(data).is_ok_and(|mark| mark.seen.is_some());
        !is_marked && matches!(flowlord_db::inspect_database(data), Ok(DatabaseCondition::Sound))
    }

    /// Puts a snapshot in the place of the database; waits until there is one.
    async fn seed(&mut self) -> anyhow::Result<LogState> {
        let data = self.lock.folder();
        loop {
            match recovery::seed_follower(&self.place, self.lock, self.environment.clock.now()).await {
                Ok(Some((from, seeded_at))) => {
                    log::info!("event=seeded from={from:?}");
                    DamageMark::remove(data)?;
                    (self.file.has_led, self.file.seeded_at) = (false, Some(seeded_at));
                    self.write_file()?;
                    return flowlord_db::log_state(data).context("the snapshot has no change log to follow");
                }
                Ok(None) => log::warn!("event=waiting_for_snapshot place={:?}", self.place.location("")),
                Err(err) => log::warn!("event=not_seeded error={:?}", format!("{err:#}")),
            }
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }

    fn write_file(&self) -> anyhow::Result<()> {
        let data = self.lock.folder();
        self.file.write(data).with_context(|| format!("{} can't be written", data.display()))
    }
}

/// The next start takes a snapshot instead of the database, which can't apply this entry; also since it differs from the
/// leader's, in this.
pub(super) fn prepare_reseed(
    config: &Config,
    environment: &ActorEnvironment,
    entry: u64,
    difference: Option<&str>,
) -> anyhow::Result<()> {
    let lock = FolderLock::take(&config.data)?;
    let mut file = NodeFile::read(&config.data, &mut environment.ids.clone())?;
    file.reseeded_for = Some(entry);
    if let Some(what) = difference {
        file.difference = Some(DatabaseDifference { at: environment.clock.now(), what: what.to_owned() });
    }
    file.write(&config.data)?;
    // What was acknowledged here, and may be nowhere else, is kept beside.
    if file.has_led {
        flowlord_db::move_database_aside(&lock, environment.clock.now())?;
    } else {
        flowlord_db::remove_database(&lock)?;
    }
    Ok(())
}

/// What people must know of a takeover.
pub(super) fn takeover_text(takeover: &Takeover) -> String {
    let Takeover { at, from, to, missing_since, is_complete, .. } = takeover;
    if *is_complete {
        let at = recovery::utc_text(*at);
        return format!("node {to} leads since {at}: node {from} was silent. Nothing that was acknowledged is missing");
    }
    let [at, since] =
        [Some(*at), *missing_since].map(|time| time.map_or_else(|| "an unknown time".to_owned(), recovery::utc_text));
    format!(
        "node {to} leads since {at}: node {from} was silent. What {from} acknowledged between {since} and {at} may be \
         missing; workers report its tasks again, or rerun them"
    )
}
