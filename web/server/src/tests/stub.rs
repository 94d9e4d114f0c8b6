//! Actors that answer what a test says, and requests to the web above them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Actor, Context, Handler};
use actix_web::body::to_bytes;
use actix_web::http::Method;
use actix_web::http::header::HeaderMap;
use actix_web::test::{TestRequest, init_service, try_call_service};
use actix_web::web;
use chrono::{DateTime, Utc};
use flowlord_domain::escalation::EscalationPolicy;
use flowlord_domain::limits::LimitTable;
use flowlord_domain::template::MetaRow;
use flowlord_domain::{AlertKind, Attempt, Uid};
use flowlord_kernel::{ActorEnvironment, Clock, Code, Error, IdGenerator, Ping, Pong, Port, PortLimits, Result, Sleep};
use flowlord_messages::LeaseToken;
use flowlord_messages::alerts::{
    AcknowledgeAlerts, AcknowledgedIncident, CountNotifications, EscalationStatus, ListAlerts, ListIncidents,
    NotificationCounts, ReadAlerts, ReadEscalations, StoredAlert, StoredIncident,
};
use flowlord_messages::audit::{AuditRecordPage, ListAuditRecords, RecordAudit};
use flowlord_messages::backloads::{
    BackloadCheck, BackloadFailure, ChangeBackload, CheckBackload, ExecuteBackload, PlanBackload, PlannedBackload,
    ReadBackload, ReadBackloads, StartedBackload, StoredBackload,
};
use flowlord_messages::changelog::{ReadShippingState, ShippingState};
use flowlord_messages::clients::{
    AlertsClient, BackloadClient, BackupClient, ButtonsClient, ClusterClient, DatabaseReader, DatabaseWriter,
    DispatchClient, FilesClient, IngestClient, LibraryClient, LogsClient, NotifierClient, RetentionClient,
    SchedulerClient, ShipperClient,
};
use flowlord_messages::cluster::{ClusterState, HandOver, ListNodes, NodeState, ReadCluster};
use flowlord_messages::database::{DatabaseFacts, MeasureTable, ReadDatabase, TableSize};
use flowlord_messages::events::{DatabaseChanges, TakeChanges};
use flowlord_messages::files::{
    FileArrived, ListFileEvents, ReadWatchedPlaces, RecordedFile, StoredFileEvent, WatchedPlace,
};
use flowlord_messages::history::RemoveOldHistory;
use flowlord_messages::joins::{ReadWaitingJoins, WaitingJoin};
use flowlord_messages::leases::{
    LastAsked, LeaseExtension, LeaseGrant, LeaseStanding, ReadLastAsked, ReadLeaseStanding, ReadLimits,
    ReadStartBuckets, ReadWorkerLeases, ReadWorkers, ReleaseTask, RequestLeases, SeenWorker, SendHeartbeat,
    StartBucket, WorkerLeases,
};
use flowlord_messages::logs::{AppendLog, AppendedLog, LogText, ReadLog};
use flowlord_messages::outbox::{AwaitDelivery, DeliveryStatus, EnqueueMessage, SlackInteraction};
use flowlord_messages::results::{AppliedResult, ReadWorkerResults, SubmitResults, WorkerResults};
use flowlord_messages::schedule::{
    LastSlot, PausePhase, PausedPhase, PhaseSlots, PhaseTimes, ReadLastSlots, ReadNextRuns, ReadPaused, ReadSlots,
};
use flowlord_messages::silences::{AddSilence, ListSilences, RemoveSilence, Silence};
use flowlord_messages::snapshots::{
    BackupState, ListSnapshots, ReadBackup, SnapshotList, StoredSnapshot, TakeBackup, TakeSnapshot,
};
use flowlord_messages::stats::{
    DayMarks, DayTotals, QueueBacklog, ReadBacklog, ReadDayMarks, ReadDaySteps, ReadDayTotals, ReadHourCounts,
    ResultCounts, StepTotals,
};
use flowlord_messages::tasks::{
    CancelTasks, ChainStart, CreateTasks, CreatedTasks, FindKnownTasks, FindLaterAttempts, FindTasks, KnownTask,
    ReadAttempts, ReadChain, ReadChainStart, RerunTasks, TaskCursor, TaskPage,
};
use flowlord_messages::tokens::{AddToken, ReadTokens, RemoveToken, StoredToken};
use flowlord_messages::workflows::{
    LoadedWorkflows, ReadLoadedWorkflows, ReadMetaRows, ReadWorkflow, ReloadReport, ReloadWorkflows, WorkflowRecord,
};
use flowlord_web_core::auth::AccessRules;
use flowlord_web_core::context::{Config, Deps, HistoryPolicy, MetricsWriter, WebLimits};
use flowlord_web_core::context::{ContextRef, WebContext};
use serde_json::Value;

use crate::app::app;

pub(crate) use flowlord_testkit::sample::{attempt, finished, leased, noon};

/// Always shows the same time.
#[derive(Debug)]
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> DateTime<Utc> {
        noon()
    }

    fn sleep_until(&self, _: DateTime<Utc>) -> Sleep {
        Box::pin(std::future::pending())
    }
}

type Answerer<M, T> = Arc<Mutex<Box<dyn FnMut(M) -> Result<T> + Send>>>;

macro_rules! stub {
    ($($field:ident: $message:ty => $reply:ty;)+) => {
        /// An actor that answers everything by closures; each says that it has none until it is given one.
        #[derive(Clone)]
        pub(crate) struct Stub { $($field: Answerer<$message, $reply>,)+ }

        impl Default for Stub {
            fn default() -> Self {
                Self { $($field: Arc::new(Mutex::new(Box::new(|_| {
                    Err(Error::new(Code::Storage, concat!("no answer for ", stringify!($field))))
                }))),)+ }
            }
        }

        impl Stub {
            /// Whatever is asked fails so.
            pub(crate) fn failing(code: Code) -> Self {
                let stub = Self::default();
                $(stub.$field(move |_| Err(Error::new(code, "as the test says")));)+
                stub
            }

            $(pub(crate) fn $field(
                &self,
                answer: impl FnMut($message) -> Result<$reply> + Send + 'static,
            ) -> &Self {
                *self.$field.lock().unwrap() = Box::new(answer);
                self
            })+
        }

        $(impl Handler<$message> for Stub {
            type Result = Result<$reply>;

            fn handle(&mut self, message: $message, _: &mut Context<Self>) -> Self::Result {
                (self.$field.lock().unwrap())(message)
            }
        })+
    };
}

stub! {
    create: CreateTasks => CreatedTasks;
    lease: RequestLeases => ();
    heartbeat: SendHeartbeat => LeaseExtension;
    release: ReleaseTask => ();
    standing: ReadLeaseStanding => LeaseStanding;
    append_log: AppendLog => AppendedLog;
    read_log: ReadLog => Option<LogText>;
    workers: ReadWorkers => Vec<SeenWorker>;
    last_asked: ReadLastAsked => LastAsked;
    limits: ReadLimits => Option<Arc<LimitTable>>;
    start_buckets: ReadStartBuckets => Vec<StartBucket>;
    worker_leases: ReadWorkerLeases => Vec<WorkerLeases>;
    worker_results: ReadWorkerResults => Vec<WorkerResults>;
    submit: SubmitResults => Vec<Result<AppliedResult>>;
    workflows: ReadLoadedWorkflows => LoadedWorkflows;
    meta_rows: ReadMetaRows => Arc<Vec<MetaRow>>;
    reload: ReloadWorkflows => ReloadReport;
    next_runs: ReadNextRuns => Vec<PhaseTimes>;
    pause: PausePhase => Option<DateTime<Utc>>;
    paused: ReadPaused => Vec<PausedPhase>;
    rerun: RerunTasks => Vec<Result<Uid>>;
    cancel: CancelTasks => Vec<Result<()>>;
    known_tasks: FindKnownTasks => Vec<KnownTask>;
    later: FindLaterAttempts => Vec<Option<Uid>>;
    snapshot: TakeSnapshot => StoredSnapshot;
    snapshots: ListSnapshots => SnapshotList;
    backup: ReadBackup => BackupState;
    shipping: ReadShippingState => ShippingState;
    plan_backload: PlanBackload => Arc<PlannedBackload>;
    execute_backload: ExecuteBackload => StartedBackload;
    change_backload: ChangeBackload => StoredBackload;
    check_backload: CheckBackload => BackloadCheck;
    backload: ReadBackload => Option<(StoredBackload, Vec<BackloadFailure>)>;
    backloads: ReadBackloads => Vec<StoredBackload>;
    arrived: FileArrived => RecordedFile;
    files: ListFileEvents => Vec<StoredFileEvent>;
    places: ReadWatchedPlaces => Arc<Vec<WatchedPlace>>;
    ladders: ReadEscalations => Vec<EscalationStatus>;
    acknowledge: AcknowledgeAlerts => Vec<AcknowledgedIncident>;
    add_silence: AddSilence => Silence;
    remove_silence: RemoveSilence => Silence;
    silences: ListSilences => Vec<Silence>;
    incidents: ListIncidents => Vec<StoredIncident>;
    notifications: CountNotifications => Vec<NotificationCounts>;
    attempts: ReadAttempts => Vec<Option<Attempt>>;
    chain: ReadChain => Vec<Attempt>;
    chain_beginning: ReadChainStart => ChainStart;
    find_tasks: FindTasks => TaskPage;
    stats: ReadDayTotals => DayTotals;
    steps: ReadDaySteps => Option<Vec<StepTotals>>;
    days: ReadDayMarks => Vec<DayMarks>;
    alerts: ListAlerts => Vec<StoredAlert>;
    alerts_by_row: ReadAlerts => Vec<StoredAlert>;
    take_changes: TakeChanges => DatabaseChanges;
    add_token: AddToken => ();
    remove_token: RemoveToken => ();
    tokens_read: ReadTokens => Vec<StoredToken>;
    backlog: ReadBacklog => QueueBacklog;
    slots: ReadLastSlots => Vec<LastSlot>;
    joins: ReadWaitingJoins => Vec<WaitingJoin>;
    grid: ReadSlots => Vec<PhaseSlots>;
    hours: ReadHourCounts => Vec<Vec<(DateTime<Utc>, ResultCounts)>>;
    database: ReadDatabase => DatabaseFacts;
    measure: MeasureTable => TableSize;
    content: ReadWorkflow => Option<WorkflowRecord>;
    enqueue: EnqueueMessage => i64;
    fate: AwaitDelivery => DeliveryStatus;
    click: SlackInteraction => ();
    ping: Ping => Pong;
    record_change: RecordAudit => ();
    changes: ListAuditRecords => AuditRecordPage;
    read_cluster: ReadCluster => ClusterState;
    nodes: ListNodes => Vec<NodeState>;
    hand_over: HandOver => ();
}

impl Handler<RemoveOldHistory> for Stub {
    type Result = ();

    fn handle(&mut self, _: RemoveOldHistory, _: &mut Context<Self>) {}
}

impl Handler<TakeBackup> for Stub {
    type Result = ();

    fn handle(&mut self, _: TakeBackup, _: &mut Context<Self>) {}
}

impl Actor for Stub {
    type Context = Context<Self>;
}

pub(crate) fn config() -> Config {
    Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        workers: 1,
        lease: chrono::TimeDelta::seconds(60),
        public_url: None,
        host: "box".to_owned(),
        version: "1.2.3".to_owned(),
        slack: true,
        demo_slack: None,
        started_at: noon() - chrono::TimeDelta::minutes(90),
        kept: HistoryPolicy {
            history: chrono::TimeDelta::days(90),
            unfinished: chrono::TimeDelta::hours(4),
            ..HistoryPolicy::default()
        },
        access: AccessRules { anonymous: true, ..AccessRules::default() },
        limits: WebLimits { connections: 100, long_polls: 10 },
        tls: None,
        metrics: MetricsWriter(Arc::new(|| "counted 1\n".to_owned())),
        links: Vec::new(),
        cluster: ClusterState::default(),
    }
}

impl Stub {
    /// Starts it, with ports to it.
    pub(crate) fn deps(&self) -> Deps {
        let actor = self.clone().start();
        let environment = ActorEnvironment {
            clock: Arc::new(Stopped),
            ids: IdGenerator::seeded(1),
            ..ActorEnvironment::system(Arc::new(|_| {}))
        };
        let limits = PortLimits { max_under_way: 64, timeout: Duration::from_secs(30) };
        macro_rules! port {
            () => {
                Port::new("stub", actor.clone().recipient(), limits, &environment.activity)
            };
        }
        macro_rules! client {
            ($client:ident: $($message:ty),+ $(,)?) => {
                $client::unconnected()$(.with::<$message>(port!()))+
            };
        }
        let reader = client!(
            DatabaseReader:
            ReadAlerts, ReadAttempts, ReadChain, ReadChainStart, CheckBackload, CountNotifications, ReadDayTotals, FindTasks,
            FindKnownTasks, ReadLastSlots, FindLaterAttempts, ListAlerts, ListAuditRecords, ListFileEvents, ListIncidents, ListSilences,
            MeasureTable, ReadBackload, ReadBackloads, ReadBacklog, ReadDatabase, ReadDayMarks, ReadDaySteps, ReadHourCounts,
            ReadPaused, ReadSlots, ReadStartBuckets,
            ReadTokens, ReadWaitingJoins, ReadWorkerLeases, ReadWorkflow, ReadLeaseStanding,
        );
        Deps {
            kit: environment.kit("web"),
            writer: client!(
                DatabaseWriter:
                AddSilence, AddToken, CancelTasks, CreateTasks, EnqueueMessage, RecordAudit, RemoveSilence,
                RemoveToken, RerunTasks, TakeChanges,
            ),
            view_reader: reader.clone(),
            reader,
            library: client!(LibraryClient: ReadLoadedWorkflows, ReadMetaRows, ReloadWorkflows),
            scheduler: client!(SchedulerClient: ReadNextRuns, PausePhase),
            dispatch: client!(
                DispatchClient: ReadLastAsked, ReadLimits, ReadWorkers, RequestLeases, SendHeartbeat, ReleaseTask
            ),
            ingest: client!(IngestClient: ReadWorkerResults, SubmitResults),
            alerts: client!(AlertsClient: ReadEscalations, AcknowledgeAlerts),
            notifier: client!(NotifierClient: AwaitDelivery),
            buttons: client!(ButtonsClient: SlackInteraction),
            backup: client!(BackupClient: TakeBackup, ListSnapshots, ReadBackup, TakeSnapshot),
            shipper: client!(ShipperClient: ReadShippingState),
            retention: client!(RetentionClient: RemoveOldHistory),
            backload: client!(BackloadClient: PlanBackload, ExecuteBackload, ChangeBackload),
            files: client!(FilesClient: FileArrived, ReadWatchedPlaces),
            logs: client!(LogsClient: AppendLog, ReadLog),
            cluster: client!(ClusterClient: HandOver, ListNodes, ReadCluster),
            pings: vec![("db", port!()), ("dispatch", port!())],
        }
    }

    pub(crate) fn context(&self) -> ContextRef {
        let context = WebContext::new(config(), self.deps(), crate::routes::table());
        // Without an answer it is a service on its own.
        if let Ok(state) = (self.read_cluster.lock().unwrap())(ReadCluster) {
            context.cluster.replace(state);
        }
        web::Data::new(context)
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(TestRequest::get().uri(path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<web::Bytes>) -> Reply {
        let json = ("content-type", "application/json");
        self.send(TestRequest::post().uri(path).insert_header(json).set_payload(body.into())).await
    }

    pub(crate) async fn send(&self, request: TestRequest) -> Reply {
        send(self.context(), request).await
    }
}

impl Stub {
    /// The headers and the size of an answer that may be no text.
    pub(crate) async fn weigh(&self, request: TestRequest) -> (HeaderMap, usize) {
        let service = init_service(app(self.context())).await;
        let response = try_call_service(&service, request.to_request()).await.unwrap().into_parts().1;
        let headers = response.headers().clone();
        (headers, to_bytes(response.into_body()).await.unwrap().len())
    }
}

/// Sends one request to an app.
pub(crate) async fn send(context: ContextRef, request: TestRequest) -> Reply {
    let service = init_service(app(context)).await;
    let response = match try_call_service(&service, request.to_request()).await {
        Ok(response) => response.into_parts().1,
        // What the server does with an error of the outermost layer.
        Err(err) => err.error_response(),
    };
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = to_bytes(response.into_body()).await.unwrap();
    Reply { status, headers, text: String::from_utf8(body.to_vec()).unwrap() }
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|err| panic!("{err}: {self:?}"))
    }

    /// The JSON of a success.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        assert_eq!(self.header("content-type"), "application/json");
        self.json()
    }

    /// Status, code and detail of a problem document that says all it must.
    #[track_caller]
    pub(crate) fn problem(&self) -> (u16, String, String) {
        let json = self.json();
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        assert_eq!(json["status"], self.status);
        let text = |name: &str| json[name].as_str().unwrap_or_else(|| panic!("no {name}: {json}")).to_owned();
        assert!(!text("title").is_empty() && !text("detail").is_empty(), "{json}");
        let code = Code::ALL.iter().find(|code| code.as_str() == text("code")).expect("a known code");
        assert_eq!((code.status(), text("type")), (self.status, format!("/api/docs/errors#{}", code.as_str())));
        let retry = code.retry_after().map(|seconds| seconds.to_string()).unwrap_or_default();
        assert_eq!(self.header("retry-after"), retry, "{json}");
        (self.status, text("code"), text("detail"))
    }

    #[track_caller]
    pub(crate) fn code(&self) -> String {
        self.problem().1
    }
}

/// A request by its method.
pub(crate) fn request(method: Method, path: &str) -> TestRequest {
    TestRequest::default().method(method).uri(path)
}

/// The only page of a list, or its last.
pub(crate) fn listed(tasks: Vec<Attempt>) -> TaskPage {
    TaskPage { tasks, ..TaskPage::default() }
}

/// A page that others follow.
pub(crate) fn more(tasks: Vec<Attempt>) -> TaskPage {
    let next = tasks.last().map(|task| TaskCursor::After(task.uid));
    TaskPage { next, ..listed(tasks) }
}

/// Behind which task a page by creation is asked for.
pub(crate) fn after(query: &FindTasks) -> Option<Uid> {
    match &query.after {
        Some(TaskCursor::After(uid)) => Some(*uid),
        other => other.as_ref().map(|wrong| panic!("{wrong}")),
    }
}

pub(crate) fn ladder() -> EscalationStatus {
    let policy = EscalationPolicy::default();
    EscalationStatus {
        route: "default".to_owned(),
        policy,
        interval: policy.min_interval,
        next: noon(),
        incident_since: None,
        alerts: 0,
        steps: 0,
        tasks: Vec::new(),
        acknowledged_by: None,
    }
}

pub(crate) fn alert(row: i64) -> StoredAlert {
    StoredAlert {
        row,
        kind: AlertKind::Exhausted,
        at: noon(),
        uid: Some(attempt(1).uid),
        id: "chain-1".to_owned(),
        topic: "load".to_owned(),
        job: String::new(),
        workflow: "main.toml".to_owned(),
        msg: "no disk".to_owned(),
        is_msg_cut: false,
        task_time: Some(noon()),
        at_once: false,
        route: "default".to_owned(),
        silence: None,
        owner: String::new(),
        runbook: String::new(),
    }
}

pub(crate) fn token() -> LeaseToken {
    LeaseToken { uid: attempt(1).uid, secret: 0xfeed }
}

pub(crate) fn granted() -> LeaseGrant {
    LeaseGrant { lease: token(), expires: noon() + chrono::TimeDelta::seconds(60), task: leased(1).into() }
}
