//! What a node does that doesn't lead its cluster: it answers pages and lists itself and forwards everything else to the
//! leader. Not by a redirect, as clients send no token to another host.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::{BodyStream, BoxBody, SizedStream};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::{Bytes, Data, Payload};
use actix_web::{Error, FromRequest as _, HttpMessage as _, HttpRequest, HttpResponse};
use chrono::{DateTime, SecondsFormat, Utc};
use flowlord_kernel::Code;
use flowlord_messages::cluster::{ClusterState, NodeAddress, NodeRole};
use flowlord_web_core::auth::hooks;
use flowlord_web_core::cluster::{X_FLOWLORD_FORWARDED, X_FLOWLORD_LAG, X_FLOWLORD_TIME};
use flowlord_web_core::context::{ContextRef, WebContext};
use flowlord_web_core::extract::forwarded_body;
use flowlord_web_core::hang_up::HangUp;
use flowlord_web_core::own_writes::CallerKey;
use flowlord_web_core::problem::Problem;
use flowlord_web_core::route::{ANYONE, Route, RouteClass, RouteMatch};
use futures_util::stream;

use crate::middleware::base_path::SentUri;
use crate::middleware::request_guard::refused;
use crate::middleware::view_pool::{ViewPool, hand_over};

const CONNECT_WITHIN: Duration = Duration::from_secs(1);

// The leader closes idle connections after 75 s. One that it closes just then may have taken a change or not.
const IDLE: Duration = Duration::from_secs(60);

/// Of one connection only (RFC 9110), or set anew for the next one.
const HOP_BY_HOP: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

const FORWARDED_FOR: &str = "x-forwarded-for";

thread_local! {
    // A client per thread: its connections are served by the thread that opened them.
    static CLIENT: OnceCell<reqwest::Client> = const { OnceCell::new() };
}

pub(crate) async fn answer_or_forward(
    view_pool: Data<ViewPool>,
    context: ContextRef,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(state) = context.cluster.of_cluster() else {
        return hand_over(view_pool, context, request, next).await;
    };
    // In a box: a service without a cluster makes no room for it.
    match state.role {
        NodeRole::Follower => Box::pin(answer_as_follower(view_pool, context, state, request, next)).await,
        NodeRole::Single | NodeRole::Leader => Box::pin(answer_as_leader(view_pool, context, request, next)).await,
    }
}

async fn answer_as_leader(
    view_pool: Data<ViewPool>,
    context: ContextRef,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let is_forwarded = request.headers().contains_key(X_FLOWLORD_FORWARDED);
    let mut answer = hand_over(view_pool, context.clone(), request, next).await?;
    if is_forwarded {
        let now = context.deps.kit.now().to_rfc3339_opts(SecondsFormat::Micros, true);
        set_header(answer.headers_mut(), X_FLOWLORD_TIME, &now);
    }
    Ok(answer)
}

async fn answer_as_follower(
    view_pool: Data<ViewPool>,
    context: ContextRef,
    state: Arc<ClusterState>,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let asked = FollowerRequest::of(&context, state, &request);
    if request.headers().contains_key(X_FLOWLORD_FORWARDED) {
        let detail = "another node took this one for the leader, which it isn't; nothing was stored: send it again";
        return Ok(asked.refuse(request, not_leader(detail)));
    }
    if asked.is_for_leader() {
        return Ok(asked.forward_whole(request).await);
    }
    let is_plain = !has_body(request.headers());
    if is_plain && asked.awaits_own_write() {
        // While nobody leads, what is known here is more than nothing.
        if let Ok(answer) = asked.ask_leader(request.request(), Bytes::new()).await {
            return Ok(ServiceResponse::new(request.into_parts().0, answer));
        }
    }
    let answer = hand_over(view_pool, context.clone(), request, next).await?;
    // Only the leader runs the actor that this page needs.
    if asked.is_view && is_plain && needs_leader(&answer) {
        return Ok(asked.forward(answer.request().clone(), Bytes::new()).await);
    }
    Ok(asked.with_lag(answer))
}

/// What a follower knows of a request.
struct FollowerRequest {
    context: ContextRef,
    state: Arc<ClusterState>,
    caller: CallerKey,
    is_view: bool,
    is_for_followers: bool,
    is_let_in: bool,
    is_long_poll: bool,
    is_change: bool,
}

impl FollowerRequest {
    fn of(context: &ContextRef, state: Arc<ClusterState>, request: &ServiceRequest) -> Self {
        let found = context.routes.find(request.method(), request.match_info().as_str());
        let caller = CallerKey::of(request.request(), &context.config.access.proxies);
        Self {
            is_view: found.class() == RouteClass::View,
            is_for_followers: found.route.is_some_and(Route::is_for_followers),
            is_let_in: may_be_let_in(context, request, &found, &caller),
            is_long_poll: found.route.is_some_and(|route| route.is_long_poll),
            is_change: is_change(request.method(), &found),
            context: context.clone(),
            state,
            caller,
        }
    }

    fn is_for_leader(&self) -> bool {
        // The leader may let in anyone on its own machine, and must not do so for those who come by way of this node.
        let is_listed_here = self.is_for_followers && !(self.is_view && self.state.has_older_tables);
        self.is_let_in && !is_listed_here
    }

    /// Whether it would be shown what was true before it changed something.
    fn awaits_own_write(&self) -> bool {
        let (now, through) = (self.context.deps.kit.now(), self.state.through);
        self.is_let_in && self.is_view && self.context.own_writes.is_awaited_by(&self.caller, through, now)
    }

    /// Forwards a request with its body.
    async fn forward_whole(&self, request: ServiceRequest) -> ServiceResponse<BoxBody> {
        let (request, mut payload) = request.into_parts();
        let body = match self.context.check_connections() {
            Ok(()) => read_body(&request, &mut payload).await,
            Err(refused) => Err(refused),
        };
        match body {
            Ok(body) => self.forward(request, body).await,
            Err(problem) => self.refuse(ServiceRequest::from_request(request), problem),
        }
    }

    async fn forward(&self, request: HttpRequest, body: Bytes) -> ServiceResponse<BoxBody> {
        match self.ask_leader(&request, body).await {
            Ok(answer) => ServiceResponse::new(request, answer),
            Err(problem) => self.refuse(ServiceRequest::from_request(request), problem),
        }
    }

    async fn ask_leader(&self, request: &HttpRequest, body: Bytes) -> Result<HttpResponse, Problem> {
        let Some(leader) = &self.state.leader else {
            return Err(not_leader("no node leads the cluster now; nothing was stored: send it again"));
        };
        let most = self.context.config.limits.long_polls;
        let polls = &self.context.long_polls;
        let _long_poll = self.is_long_poll.then(|| polls.begin(self.caller.to_string(), most)).transpose()?;
        let asked = leader_request(leader, self.node(), request, body)?;
        let answer = tokio::select! {
            answer = asked.send() => answer.map_err(|err| unreachable_leader(leader, &err))?,
            () = self.context.cluster.until_replaced(leader) => return Err(lead_changed(leader)),
            () = self.hung_up(request) => return Err(not_leader("the client hung up before there was a task")),
        };
        self.note_change(&answer);
        response_of(answer)
    }

    /// Waits until a worker may be gone: then the leader must give its request no task.
    async fn hung_up(&self, request: &HttpRequest) {
        match HangUp::of(request) {
            Some(hang_up) if self.is_long_poll => hang_up.wait().await,
            _ => std::future::pending().await,
        }
    }

    fn node(&self) -> &str {
        self.state.node.as_ref().map_or("", |node| &node.node)
    }

    /// The caller's next views are to show what it changed.
    fn note_change(&self, answer: &reqwest::Response) {
        let status = answer.status();
        if self.is_change && (status.is_success() || status.is_redirection()) {
            let now = self.context.deps.kit.now();
            let done_at = leader_time(answer).unwrap_or(now);
            self.context.own_writes.note(self.caller.clone(), done_at, self.state.through, now);
        }
    }

    fn refuse(&self, request: ServiceRequest, problem: Problem) -> ServiceResponse<BoxBody> {
        self.with_lag(refused(&self.context, request, problem))
    }

    fn with_lag(&self, mut answer: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
        // As of now: a page may have taken a while.
        if let Some(lag) = self.context.cluster.state().lag_seconds(self.context.deps.kit.now()) {
            set_header(answer.headers_mut(), X_FLOWLORD_LAG, &format!("{lag:.3}"));
        }
        answer
    }
}

/// Whether the leader is the one to tell. What surely isn't let in is refused here.
fn may_be_let_in(context: &WebContext, request: &ServiceRequest, found: &RouteMatch<'_>, caller: &CallerKey) -> bool {
    context.config.access.anonymous
        || found.role == ANYONE
        || caller.has_proof()
        || hooks::token(request.match_info().as_str()).is_some()
}

fn is_change(method: &Method, found: &RouteMatch<'_>) -> bool {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    !reads || found.route.is_some_and(|route| route.audited.is_some())
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING) || headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0")
}

async fn read_body(request: &HttpRequest, payload: &mut actix_web::dev::Payload) -> Result<Bytes, Problem> {
    let payload = Payload::from_request(request, payload).await;
    let payload = payload.map_err(|err| Problem::invalid(format!("the body can't be read: {err}")))?;
    forwarded_body(request, payload).await
}

fn needs_leader(answer: &ServiceResponse<BoxBody>) -> bool {
    answer.response().extensions().get::<Code>() == Some(&Code::NotLeader)
}

fn leader_request(
    leader: &NodeAddress,
    node: &str,
    request: &HttpRequest,
    body: Bytes,
) -> Result<reqwest::RequestBuilder, Problem> {
    let method = reqwest::Method::from_bytes(request.method().as_str().as_bytes());
    let method = method.map_err(|err| Problem::invalid(format!("the method can't be forwarded: {err}")))?;
    let path = sent_path(request);
    let mut asked = http_client()?.request(method, format!("{}{path}", leader.url.trim_end_matches('/')));
    let lines = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    for (name, value) in end_to_end(lines).into_iter().filter(|(name, _)| *name != FORWARDED_FOR) {
        asked = asked.header(name, value);
    }
    asked = asked.header(FORWARDED_FOR, forwarded_for(request)).header(X_FLOWLORD_FORWARDED.as_str(), node);
    let may_have_body = !matches!(*request.method(), Method::GET | Method::HEAD);
    Ok(if may_have_body || !body.is_empty() { asked.body(body) } else { asked })
}

/// Path and query as they came, with the base path if they had it.
fn sent_path(request: &HttpRequest) -> String {
    let sent = request.extensions().get::<SentUri>().map(|SentUri(uri)| uri.clone());
    let uri = sent.as_ref().unwrap_or_else(|| request.uri());
    uri.path_and_query().map_or("/", |path| path.as_str()).to_owned()
}

/// Whom those before this node named, and whom it sees.
fn forwarded_for(request: &HttpRequest) -> String {
    let named = request.headers().get_all(FORWARDED_FOR).filter_map(|value| value.to_str().ok().map(str::to_owned));
    let peer = request.peer_addr().map(|peer| peer.ip().to_canonical().to_string());
    named.chain(peer).collect::<Vec<_>>().join(", ")
}

/// The headers that aren't for one connection only.
fn end_to_end<'a>(lines: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<(&'a str, &'a [u8])> {
    let mut lines: Vec<_> = lines.collect();
    let connection = lines.iter().filter(|(name, _)| *name == "connection");
    let named: Vec<String> = connection
        .flat_map(|(_, value)| value.split(|byte| *byte == b','))
        .map(|name| String::from_utf8_lossy(name).trim().to_ascii_lowercase())
        .collect();
    lines.retain(|(name, _)| !HOP_BY_HOP.contains(name) && !named.iter().any(|other| other == name));
    lines
}

fn http_client() -> Result<reqwest::Client, Problem> {
    CLIENT.with(|known| {
        if let Some(client) = known.get() {
            return Ok(client.clone());
        }
        let client = new_client()
            .map_err(|err| Problem::new(Code::Internal, format!("there is no client to ask the leader with: {err}")))?;
        Ok(known.get_or_init(|| client).clone())
    })
}

fn new_client() -> reqwest::Result<reqwest::Client> {
    let _already_set = rustls::crypto::ring::default_provider().install_default();
    // Without a limit of its whole time: a worker may wait for minutes.
    reqwest::Client::builder()
        .connect_timeout(CONNECT_WITHIN)
        .pool_idle_timeout(IDLE)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        .http1_only()
        .build()
}

fn unreachable_leader(leader: &NodeAddress, err: &reqwest::Error) -> Problem {
    let NodeAddress { node, url } = leader;
    // Without the address asked for: that of a hook holds a token.
    let cause = std::error::Error::source(err).map(ToString::to_string).unwrap_or_default();
    log::warn!("event=leader_unreachable leader={node} url={url} error={cause:?}");
    let detail = if err.is_connect() || err.is_builder() {
        format!("the leader {node} can't be reached at {url}; nothing was stored: send it again")
    } else {
        format!("the connection to the leader {node} broke; it is not known whether it was stored; send it again")
    };
    not_leader(detail)
}

fn lead_changed(leader: &NodeAddress) -> Problem {
    let node = &leader.node;
    not_leader(format!("{node} led and gave no answer; it is not known whether it was stored; send it again"))
}

fn not_leader(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(Code::NotLeader, detail)
}

fn leader_time(answer: &reqwest::Response) -> Option<DateTime<Utc>> {
    answer.headers().get(X_FLOWLORD_TIME.as_str())?.to_str().ok()?.parse().ok()
}

fn response_of(answer: reqwest::Response) -> Result<HttpResponse, Problem> {
    let status = StatusCode::from_u16(answer.status().as_u16());
    let status = status.map_err(|err| Problem::new(Code::Internal, format!("the leader's answer is odd: {err}")))?;
    let mut response = HttpResponse::build(status);
    let lines = answer.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    for line in end_to_end(lines) {
        response.append_header(line);
    }
    Ok(response.body(streamed_body(answer)))
}

fn streamed_body(answer: reqwest::Response) -> BoxBody {
    let length = answer.headers().get(reqwest::header::CONTENT_LENGTH);
    let length: Option<u64> = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let chunks = stream::try_unfold(answer, |mut answer| async move {
        let chunk = answer.chunk().await?;
        Ok::<_, reqwest::Error>(chunk.map(|chunk| (chunk, answer)))
    });
    match length {
        Some(length) => BoxBody::new(SizedStream::new(length, Box::pin(chunks))),
        None => BoxBody::new(BodyStream::new(Box::pin(chunks))),
    }
}

fn set_header(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
