//! One client per actor: what it may be asked, each on a bounded port.
//!
//! ```
//! use actix::{Actor, Context, Handler};
//! use flowlord_kernel::{ActorEnvironment, Code, Result};
//! use flowlord_messages::clients::DatabaseReader;
//! use flowlord_messages::leases::ReadNextExpiry;
//! use flowlord_messages::tasks::{FindTasks, TaskFilter, TaskPage};
//!
//! /// Stands for a database without tasks.
//! struct EmptyDatabase;
//!
//! impl Actor for EmptyDatabase {
//!     type Context = Context<Self>;
//! }
//!
//! impl Handler<FindTasks> for EmptyDatabase {
//!     type Result = Result<TaskPage>;
//!
//!     fn handle(&mut self, _: FindTasks, _: &mut Self::Context) -> Result<TaskPage> {
//!         Ok(TaskPage::default())
//!     }
//! }
//!
//! # actix::System::new().block_on(async {
//! let environment = ActorEnvironment::system(std::sync::Arc::new(|actor| panic!("{actor} can't be kept alive")));
//! let port = environment.port::<_, FindTasks>("reader", &EmptyDatabase.start());
//! let reader = DatabaseReader::unconnected().with(port);
//! let page = reader.call(FindTasks::newest_first(TaskFilter::default(), 50)).await?;
//! assert!(page.tasks.is_empty() && page.next.is_none());
//!
//! // In a test the other ports lead nowhere.
//! assert_eq!(reader.call(ReadNextExpiry).await.unwrap_err().code, Code::Internal);
//! # Ok::<(), flowlord_kernel::Error>(())
//! # }).unwrap();
//! ```

use flowlord_kernel::clients;

use crate::alerts::{
    AcknowledgeAlerts, AdvanceEscalation, CountNotifications, ListAlerts, ListIncidents, RaiseAlerts, ReadAlerts,
    ReadEscalation, ReadEscalations, SetRoutes,
};
use crate::audit::{ListAuditRecords, RecordAudit};
use crate::backloads::{
    ChangeBackload, CheckBackload, EndBackloadTasks, ExecuteBackload, PlanBackload, ReadBackload, ReadBackloads,
    SaveBackload, SetBackloadState, StoreBackloadChunk,
};
use crate::changelog::{ForgetChanges, ReadSegment, ReadShippingState, RestartChangeLog};
use crate::cluster::{
    AppendRecord, ApplyMigration, ApplyRows, ApplySegment, ForgetEntries, HandOver, ListNodes, ReadCluster,
};
use crate::database::{MeasureTable, ReadDatabase};
use crate::deadlines::{RaiseBreaches, ReadDeadlineInput, ReadSlotTasks};
use crate::events::TakeChanges;
use crate::files::{
    FileArrived, KeepWatchedPlaces, ListFileEvents, ReadSeenFiles, ReadWaitingFiles, ReadWatchedPlaces, RecordFile,
    SaveSeenFiles,
};
use crate::history::{RemoveHistory, RemoveOldHistory};
use crate::joins::{ReadJoins, ReadWaitingJoins};
use crate::learned::ReadLearned;
use crate::leases::{
    ExtendLease, GrantLeases, KeepLimits, ReadLastAsked, ReadLeaseStanding, ReadLimits, ReadNextExpiry,
    ReadStartBuckets, ReadWorkerLeases, ReadWorkers, ReapLeases, ReleaseLease, ReleaseTask, RequestLeases,
    SendHeartbeat,
};
use crate::logs::{AppendLog, ReadLog};
use crate::outbox::{
    AwaitDelivery, EnqueueMessage, ReadMessage, ReadOutages, ReadPendingMessages, ReadThreads, RecordDelivery,
    SlackInteraction,
};
use crate::results::{ApplyOutcomes, ReadWorkerResults, RememberGrants, SubmitResults};
use crate::schedule::{
    PausePhase, PromoteDue, ReadLastSlots, ReadNextRuns, ReadPaused, ReadSchedule, ReadSlots, RecordMissed, SaveCrons,
    SetPaused,
};
use crate::silences::{AddSilence, ListSilences, RemoveSilence};
use crate::snapshots::{CopyDatabase, ListSnapshots, ReadBackup, TakeBackup, TakeSnapshot};
use crate::stats::{ReadBacklog, ReadDayMarks, ReadDaySteps, ReadDayTotals, ReadHourCounts};
use crate::tasks::{
    CancelTasks, CreateTasks, FindKnownTasks, FindLaterAttempts, FindTasks, ReadAttempts, ReadChain, ReadChainStart,
    RerunTasks,
};
use crate::tokens::{AddToken, ReadTokens, RemoveToken};
use crate::workflows::{
    ReadLoadedWorkflows, ReadMetaRows, ReadWorkflow, ReadWorkflows, ReloadWorkflows, SaveWorkflows,
};

clients! {
    /// Changes the database. Each call is answered once its change is on disk.
    pub struct DatabaseWriter {
        add_silence: AddSilence,
        add_token: AddToken,
        advance_ladder: AdvanceEscalation,
        apply_outcomes: ApplyOutcomes,
        cancel_tasks: CancelTasks,
        create_tasks: CreateTasks,
        end_backload_tasks: EndBackloadTasks,
        enqueue_message: EnqueueMessage,
        extend_lease: ExtendLease,
        forget_changes: ForgetChanges,
        grant_leases: GrantLeases,
        keep_limits: KeepLimits,
        keep_places: KeepWatchedPlaces,
        mark_notified: RecordDelivery,
        promote_due: PromoteDue,
        remove_history: RemoveHistory,
        raise_alerts: RaiseAlerts,
        raise_breaches: RaiseBreaches,
        reap_leases: ReapLeases,
        record_change: RecordAudit,
        record_file: RecordFile,
        record_missed: RecordMissed,
        release_lease: ReleaseLease,
        remove_silence: RemoveSilence,
        remove_token: RemoveToken,
        rerun_tasks: RerunTasks,
        restart_log: RestartChangeLog,
        save_backload: SaveBackload,
        save_crons: SaveCrons,
        save_seen: SaveSeenFiles,
        save_workflows: SaveWorkflows,
        set_backload_state: SetBackloadState,
        set_paused: SetPaused,
        set_routes: SetRoutes,
        store_backload_chunk: StoreBackloadChunk,
        take_changes: TakeChanges,
    }

    /// Copies the database and reads its change log, which the writer does between two transactions.
    // Its calls take as long as the database is large: the usual timeout would cut off large ones.
    pub struct DatabaseCopier {
        copy_database: CopyDatabase | patient,
        read_segment: ReadSegment | patient,
    }

    /// Reads the database. Each query sees one consistent state.
    pub struct DatabaseReader {
        alerts_by_row: ReadAlerts,
        attempts_by_id: ReadAttempts,
        chain: ReadChain,
        chain_beginning: ReadChainStart,
        check_backload: CheckBackload,
        count_notifications: CountNotifications,
        day_stats: ReadDayTotals,
        day_steps: ReadDaySteps,
        find_tasks: FindTasks,
        known_tasks: FindKnownTasks,
        last_slots: ReadLastSlots,
        later_attempts: FindLaterAttempts,
        list_alerts: ListAlerts,
        list_changes: ListAuditRecords,
        list_files: ListFileEvents,
        list_incidents: ListIncidents,
        list_silences: ListSilences,
        lease_standing: ReadLeaseStanding,
        measure_table: MeasureTable,
        next_expiry: ReadNextExpiry,
        pending_messages: ReadPendingMessages,
        read_backload: ReadBackload,
        read_backloads: ReadBackloads,
        read_backlog: ReadBacklog,
        read_database: ReadDatabase,
        read_days: ReadDayMarks,
        read_hours: ReadHourCounts,
        read_joins: ReadJoins,
        read_ladder: ReadEscalation,
        read_learned: ReadLearned,
        read_message: ReadMessage,
        read_outages: ReadOutages,
        read_paused: ReadPaused,
        read_schedule: ReadSchedule,
        read_seen: ReadSeenFiles,
        read_slot_tasks: ReadSlotTasks,
        read_slots: ReadSlots,
        read_start_buckets: ReadStartBuckets,
        read_threads: ReadThreads,
        read_tokens: ReadTokens,
        read_waiting: ReadWaitingFiles,
        read_waiting_joins: ReadWaitingJoins,
        read_watch: ReadDeadlineInput,
        read_worker_leases: ReadWorkerLeases,
        read_workflow: ReadWorkflow,
        read_workflows: ReadWorkflows,
    }

    /// Asks for workflows and the rows of their meta files.
    pub struct LibraryClient {
        current_workflows: ReadLoadedWorkflows,
        meta_rows: ReadMetaRows,
        reload: ReloadWorkflows,
    }

    /// Asks for what starts when, and pauses phases.
    pub struct SchedulerClient {
        next_runs: ReadNextRuns,
        pause_phase: PausePhase,
    }

    /// Leases tasks on behalf of workers, and tells which ones ask.
    pub struct DispatchClient {
        lease: RequestLeases,
        heartbeat: SendHeartbeat,
        read_last_asked: ReadLastAsked,
        read_limits: ReadLimits,
        read_workers: ReadWorkers,
        release: ReleaseTask,
    }

    /// Submits the results of tasks, and tells how many each worker gave.
    pub struct IngestClient {
        read_worker_results: ReadWorkerResults,
        remember_grants: RememberGrants,
        submit_results: SubmitResults,
    }

    /// Asks for the state of escalation, and acknowledges incidents.
    pub struct AlertsClient {
        ladder_states: ReadEscalations,
        acknowledge: AcknowledgeAlerts,
    }

    /// Asks what became of a message.
    pub struct NotifierClient {
        await_message: AwaitDelivery,
    }

    /// Passes on calls of Slack.
    pub struct ButtonsClient {
        slack_call: SlackInteraction,
    }

    /// Takes snapshots, and lists them.
    pub struct BackupClient {
        back_up: TakeBackup,
        list_snapshots: ListSnapshots,
        read_backup: ReadBackup,
        take_snapshot: TakeSnapshot | patient,
    }

    /// Asks how far the change log was shipped.
    pub struct ShipperClient {
        read_shipping: ReadShippingState,
    }

    /// Applies segments to the database of a follower.
    // One after an outage of the backup's place may be large.
    pub struct FollowedDatabase {
        apply_migration: ApplyMigration | patient,
        apply_rows: ApplyRows | patient,
        apply_segment: ApplySegment | patient,
    }

    /// Appends to the cluster's log, and asks how the cluster is.
    pub struct ClusterClient {
        append_record: AppendRecord,
        forget_entries: ForgetEntries,
        hand_over: HandOver,
        list_nodes: ListNodes,
        read_cluster: ReadCluster,
    }

    /// Has history removed that is past its retention.
    pub struct RetentionClient {
        remove_old: RemoveOldHistory,
    }

    /// Appends to the logs of tasks, and reads them.
    pub struct LogsClient {
        append_log: AppendLog | bulky,
        read_log: ReadLog | bulky,
    }

    /// Plans, executes and changes backloads.
    pub struct BackloadClient {
        plan_backload: PlanBackload,
        execute_backload: ExecuteBackload,
        change_backload: ChangeBackload,
    }

    /// Reports files, and asks for the watched places.
    pub struct FilesClient {
        file_arrived: FileArrived,
        watched_places: ReadWatchedPlaces,
    }
}
