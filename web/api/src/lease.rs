//! What workers ask: a lease, a heartbeat, a result, a release.

use std::net::IpAddr;
use std::time::Duration;

use actix_web::HttpMessage as _;
use flowlord_kernel::Error;
use flowlord_messages::LeaseToken;
use flowlord_messages::leases::{LeaseGrant, ReleaseTask, RequestLeases, SendHeartbeat};
use flowlord_messages::results::{ResultClaim, SubmitResults};
use flowlord_web_core::auth::Caller;
use flowlord_web_core::doc::{BorrowedTaskDoc, ResultDoc};
use flowlord_web_core::extract::{MAX_RESULTS, result_body};
use flowlord_web_core::hang_up::HangUp;
use flowlord_web_core::limits::{DELAY_RANGE, DurationRange, LEASE_RANGE, MAX_LEASED_TASKS, MAX_TOPICS, WAIT_RANGE};
use flowlord_web_core::long_poll_limit::LongPoll;
use flowlord_web_core::route::ServeRoute;
use flowlord_web_core::values::BodyDuration;
use flowlord_web_core::values::BodyText;
use flowlord_web_core::values::between;
use flowlord_web_core::values::check_worker;
use flowlord_web_core::values::topic_filter;
use flowlord_web_core::view::task::GrantedView;
use tokio::sync::oneshot;

use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        lease_route(),
        leased_route("/api/v1/lease/{lease}/result", "Post a result", result)
            .says("Answered once the result and all that follows from it are on disk. The same again is `duplicate`.")
            .body::<ResultDoc>("how it ended", json!({"result": "complete", "msg": "5 rows", "meta": {"rows": 5}}))
            .up_to(MAX_RESULTS)
            .answers::<ResultAnswer>(200, "taken", json!({"accepted": true, "duplicate": false}))
            .fails(&[Code::TaskUnknown, Code::AlreadyFinished]),
        leased_route("/api/v1/lease/{lease}/heartbeat", "Extend a lease", heartbeat)
            .says("Extends the lease, and tells how far the worker is.")
            .optional_body::<HeartbeatBody>("how far it is", json!({"progress": 0.4, "msg": "half way"}))
            .answers::<HeartbeatAnswer>(200, "extended", json!({"expires": "2026-03-02T12:02:00Z", "cancel": false})),
        leased_route("/api/v1/lease/{lease}/release", "Release a task", release)
            .says("It is ready again after `delay`; the attempt isn't counted.")
            .optional_body::<ReleaseBody>("how long to wait", json!({"delay": "10s"}))
            .answers::<ReleaseAnswer>(200, "given back", json!({"released": true})),
    ]
}

pub(crate) const EXAMPLE_LEASE: &str = "064c0953867001-000000000000feed";

// Dispatch ends each wait on time; this bounds how long an answer is waited for that never comes.
const WAIT_SLACK: Duration = Duration::from_secs(30);

const LEASE_EXAMPLE: &str = r#"{"topics":["load","report:daily"],"worker":"w1"}"#;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(bound(deserialize = "'de: 'a"))]
#[schema(as = Lease)]
pub(crate) struct LeaseBody<'a> {
    #[schema(required, schema_with = limits::topic_filters)]
    topics: Option<Vec<String>>,
    #[schema(required, schema_with = limits::worker_name)]
    worker: Option<BodyText<'a>>,
    #[schema(schema_with = limits::leased_tasks)]
    max: Option<u64>,
    #[schema(schema_with = limits::wait_time)]
    wait: Option<BodyDuration>,
    #[schema(schema_with = limits::lease_time)]
    lease: Option<BodyDuration>,
}

impl LeaseBody<'_> {
    fn into_lease(
        self,
        context: &ContextRef,
        address: Option<IpAddr>,
    ) -> Result<(RequestLeases, DispatchPlace), Problem> {
        let example = r#"the topics to take tasks from, like ["load","report:daily"]"#;
        let topics = required("topics", self.topics, example)?;
        if topics.is_empty() || topics.len() > MAX_TOPICS {
            let detail = format!("`topics` has {} entries: write 1 to {MAX_TOPICS}", topics.len());
            return Err(Problem::invalid(detail));
        }
        let topics = topics.into_iter().map(topic_filter).collect::<Result<_, _>>()?;
        let BodyText(worker) = required("worker", self.worker, "a name that tells this worker from others")?;
        check_worker(&worker)?;
        let max = self.max.unwrap_or(1);
        if !(1..=MAX_LEASED_TASKS).contains(&max) {
            let detail = format!("`max` is {max}: write a whole number from 1 to {MAX_LEASED_TASKS}");
            return Err(Problem::invalid(detail));
        }
        let wait = in_range("wait", self.wait, WAIT_RANGE)?.unwrap_or_default();
        let lease = in_range("lease", self.lease, LEASE_RANGE)?.unwrap_or(context.config.lease);
        let (reply, answer) = oneshot::channel();
        let max = usize::try_from(max).unwrap_or(1);
        let lease = RequestLeases { topics, max, worker: worker.into_owned(), lease, wait, address, reply };
        Ok((lease, DispatchPlace { answer, context: context.clone() }))
    }
}

fn in_range(name: &str, span: Option<BodyDuration>, range: DurationRange) -> Result<Option<TimeDelta>, Problem> {
    span.map(|BodyDuration(span)| between(name, span, range)).transpose()
}

/// A worker's place in dispatch. When its connection closes this is dropped, which dispatch notices.
struct DispatchPlace {
    answer: oneshot::Receiver<Result<Vec<LeaseGrant>, Error>>,
    context: ContextRef,
}

impl Drop for DispatchPlace {
    fn drop(&mut self) {
        // Before the last look: afterwards dispatch can put nothing in any more.
        self.answer.close();
        // Tasks that came while the worker went: nobody will work on them.
        for granted in self.answer.try_recv().into_iter().flatten().flatten() {
            self.context.deps.dispatch.hint(ReleaseTask { lease: granted.lease, delay: TimeDelta::zero() });
        }
    }
}

async fn lease(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    context.refuse_when_stopping()?;
    let body = json_body(&request, payload).await?;
    let wanted: LeaseBody<'_> = object(&body, LEASE_EXAMPLE)?;
    let peer = request.peer_addr().map(|peer| peer.ip());
    let address = context.config.access.proxies.client(peer, request.headers());
    let (lease, waiting) = wanted.into_lease(&context, address)?;
    // Held until the answer: then another request of the caller may wait.
    let _long_poll = waits(&context, &request, &lease)?;
    let Some(hang_up) = HangUp::of(&request) else { return granted(&context, lease, waiting).await };
    tokio::select! {
        // In this order: where both are ready, tasks must not be sent to a worker that has gone.
        biased;
        // The worker may be gone: it gets no task. One that came meanwhile is given back.
        () = hang_up.wait() => json(StatusCode::OK, &LeaseAnswer { tasks: Vec::new() }),
        answer = granted(&context, lease, waiting) => answer,
    }
}

async fn granted(context: &WebContext, lease: RequestLeases, mut waiting: DispatchPlace) -> Answer {
    let longest = lease.wait.to_std().unwrap_or_default() + WAIT_SLACK;
    context.deps.dispatch.call(lease).await?;
    match tokio::time::timeout(longest, &mut waiting.answer).await {
        Ok(Ok(granted)) => {
            let tasks = granted?;
            json(StatusCode::OK, &LeaseAnswer { tasks: tasks.iter().map(GrantedView::from).collect() })
        }
        Ok(Err(_)) => Err(Problem::new(Code::Stopping, "dispatch was restarted; try again")),
        Err(_) => Err(Problem::new(Code::Timeout, "dispatch did not answer in time; try again")),
    }
}

fn waits(context: &WebContext, request: &HttpRequest, lease: &RequestLeases) -> Result<Option<LongPoll>, Problem> {
    // Only one that may wait is counted: it takes room for as long as it likes.
    if lease.wait.is_zero() {
        return Ok(None);
    }
    // By token, else by address, so that no caller takes all the room.
    let named = request.extensions().get::<Caller>().map(|caller| caller.name().to_owned());
    let caller = named.or_else(|| context.client(request).map(|from| from.to_string())).unwrap_or_default();
    context.long_polls.begin(caller, context.config.limits.long_polls).map(Some)
}

#[derive(Serialize, ToSchema)]
#[schema(as = Leased)]
pub(crate) struct LeaseAnswer<'a> {
    #[schema(inline)]
    tasks: Vec<GrantedView<'a>>,
}

/// A lease as a path names it.
pub(crate) fn lease_token(text: &str) -> Result<LeaseToken, Problem> {
    text.parse().map_err(|_| {
        Problem::new(Code::LeaseUnknown, "this is not a valid lease: use the `lease` that came with the task")
    })
}

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Heartbeat)]
pub(crate) struct HeartbeatBody {
    /// How far the worker is.
    #[schema(minimum = 0, maximum = 1)]
    progress: Option<f64>,
    /// What the worker says about it.
    msg: Option<String>,
    #[schema(schema_with = limits::lease_time)]
    lease: Option<BodyDuration>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Extended)]
pub(crate) struct HeartbeatAnswer {
    expires: DateTime<Utc>,
    /// Give up: nobody wants the result.
    cancel: bool,
}

async fn heartbeat(context: ContextRef, path: Path<String>, request: HttpRequest, payload: Payload) -> Answer {
    let body = json_body(&request, payload).await?;
    let lease = lease_token(&path)?;
    let beat: HeartbeatBody = object(&body, r#"{"progress":0.4,"msg":"half way"}"#)?;
    if let Some(progress) = beat.progress.filter(|progress| !(0.0..=1.0).contains(progress)) {
        return Err(Problem::invalid(format!("`progress` is {progress}: write a number from 0 to 1")));
    }
    let by = in_range("lease", beat.lease, LEASE_RANGE)?;
    let beat = SendHeartbeat { lease, by, progress: beat.progress, msg: beat.msg };
    let extended = context.deps.dispatch.call(beat).await?;
    json(StatusCode::OK, &HeartbeatAnswer { expires: extended.expires, cancel: extended.cancel })
}

async fn result(context: ContextRef, path: Path<String>, request: HttpRequest, payload: Payload) -> Answer {
    let body = result_body(&request, payload).await?;
    let lease = lease_token(&path)?;
    let doc: BorrowedTaskDoc<'_> = object(&body, r#"{"result":"complete","msg":"…","meta":"rows=5"}"#)?;
    let results = vec![(ResultClaim::Lease(lease), doc.into_outcome()?)];
    let applied = context.deps.ingest.call(SubmitResults { results }).await?.pop();
    let applied = applied.ok_or_else(|| Problem::new(Code::Internal, "the result got no answer"))??;
    json(StatusCode::OK, &ResultAnswer { accepted: true, duplicate: applied.duplicate })
}

#[derive(Serialize, ToSchema)]
#[schema(as = Accepted)]
pub(crate) struct ResultAnswer {
    accepted: bool,
    /// It was taken before.
    duplicate: bool,
}

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Release)]
pub(crate) struct ReleaseBody {
    #[schema(schema_with = limits::delay)]
    delay: Option<BodyDuration>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Released)]
pub(crate) struct ReleaseAnswer {
    released: bool,
}

async fn release(context: ContextRef, path: Path<String>, request: HttpRequest, payload: Payload) -> Answer {
    let body = json_body(&request, payload).await?;
    let lease = lease_token(&path)?;
    let release: ReleaseBody = object(&body, r#"{"delay":"10s"}"#)?;
    let delay = in_range("delay", release.delay, DELAY_RANGE)?.unwrap_or_default();
    context.deps.dispatch.call(ReleaseTask { lease, delay }).await?;
    json(StatusCode::OK, &ReleaseAnswer { released: true })
}

fn lease_route() -> Route {
    let task = json!({
        "type": "load", "info": "?date=2026-03-02", "created": "2026-03-02T12:00:00.000001Z", "id": "chain-1",
        "uid": "064c0953867001",
    });
    let granted = json!({"lease": EXAMPLE_LEASE, "expires": "2026-03-02T12:01:00Z", "attempt": 1, "task": task});
    Route::post("/api/v1/lease", Role::Worker, lease)
        .work()
        .long_poll()
        .about("work", "Lease tasks")
        .says(
            "Waits up to `wait` for the first task, then answers at once with what there is; an empty list at the end \
             of the wait.",
        )
        .body::<LeaseBody<'_>>(
            "which topics, and for how long",
            json!({"topics": ["load", "report:daily"], "worker": "w1", "max": 10, "wait": "0s"}),
        )
        .answers::<LeaseAnswer<'_>>(200, "tasks, each with its lease", json!({ "tasks": [granted] }))
        .fails(&[Code::InvalidTopic, Code::TooManyRequests])
}

/// Something that the worker of a lease may ask.
pub(crate) fn leased_route<A>(path: &'static str, summary: &'static str, handler: impl ServeRoute<A>) -> Route {
    Route::post(path, Role::Worker, handler)
        .work()
        .about("work", summary)
        .path("lease", "the `lease` that came with the task", EXAMPLE_LEASE)
        .fails(&[Code::LeaseUnknown, Code::LeaseLost])
}
