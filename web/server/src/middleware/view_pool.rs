//! What people look at is answered on threads of its own, which stand back for all others: however many look, and
//! however long a page takes, work goes on. The threads that take requests hand it over whole and pass on the answer.
//! While workers are busy, each of these threads rests longer than it looks: passing on an answer costs the others, too.
//!
//! Whoever asks for the same in the same words while that still waits to be begun gets the same answer: a hundred
//! people who look at one list cost little more than one, and nobody is shown what was true before they asked.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_http::Request;
use actix_rt::{Arbiter, ArbiterHandle};
use actix_service::{IntoServiceFactory as _, Service, ServiceFactory as _};
use actix_web::body::{BoxBody, to_bytes};
use actix_web::dev::{AppConfig, ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode, Uri};
use actix_web::middleware::Next;
use actix_web::web::{Bytes, Data};
use actix_web::{Error, HttpResponse};
use flowlord_kernel::{Code, Locked, lower_priority};
use flowlord_web_core::context::ContextRef;
use flowlord_web_core::problem::Problem;
use flowlord_web_core::route::RouteClass;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use crate::app::app;
use crate::middleware::request_guard::refused;

/// How many answers each thread has under way: one waits for the database while another is written. The fewer, the more
/// who ask for the same are answered together.
const AT_ONCE: usize = 2;

// An answer that takes longer waits for something else, and holds up no other.
const SLOW: Duration = Duration::from_millis(100);

const MOST: usize = 1_024;

/// With so many requests of workers a second they are busy.
const BUSY: u64 = 1_000;

/// Over how long that is counted.
const COUNTED: Duration = Duration::from_millis(100);

/// How long a thread rests while they are: so many times as long as it looked.
const RESTS: u32 = 19;

// People wait for it.
const LONGEST_REST: Duration = Duration::from_millis(100);

// About what passing on one answer costs the others.
const PASSING_ON: Duration = Duration::from_micros(200);

#[derive(Debug, Clone)]
pub(crate) struct ViewPool {
    queue: Arc<ViewQueue>,
    threads: Vec<ArbiterHandle>,
}

#[derive(Debug)]
struct ViewQueue {
    waiting: Locked<WaitingViews>,
    /// One for each of them.
    begin: Semaphore,
    /// How many requests of workers there were.
    worked: AtomicU64,
}

#[derive(Debug, Default)]
struct WaitingViews {
    order: VecDeque<Arc<ViewRequest>>,
    who: HashMap<Arc<ViewRequest>, Vec<oneshot::Sender<ViewAnswer>>>,
    count: usize,
}

/// All that an answer depends on.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ViewRequest {
    method: Method,
    uri: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    peer: Option<IpAddr>,
}

#[derive(Debug, Clone)]
struct ViewAnswer {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    /// Of a problem.
    code: Option<Code>,
}

pub(crate) async fn hand_over(
    view_pool: Data<ViewPool>,
    context: ContextRef,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match context.routes.find(request.method(), request.match_info().as_str()).class() {
        RouteClass::View => {}
        RouteClass::Work => {
            view_pool.queue.worked.fetch_add(1, Ordering::Relaxed);
            return next.call(request).await;
        }
        RouteClass::Direct | RouteClass::Watch => return next.call(request).await,
    }
    match view_pool.queue.ask_once(ViewRequest::of(&request)).await {
        Ok(seen) => Ok(request.into_response(seen.into_response())),
        Err(problem) => Ok(refused(&context, request, problem)),
    }
}

impl ViewPool {
    pub(crate) fn start(context: &ContextRef, threads: usize) -> Self {
        let (waiting, begin) = (Locked::default(), Semaphore::new(0));
        let queue = Arc::new(ViewQueue { waiting, begin, worked: AtomicU64::new(0) });
        let threads = (0..threads).map(|_| start_thread(context.clone(), Arc::clone(&queue))).collect();
        Self { queue, threads }
    }

    pub(crate) fn stop(&self) {
        for thread in &self.threads {
            thread.stop();
        }
    }
}

fn start_thread(context: ContextRef, queue: Arc<ViewQueue>) -> ArbiterHandle {
    let arbiter = Arbiter::new();
    arbiter.spawn_fn(move || {
        lower_priority();
        actix_rt::spawn(serve_views(context, queue));
    });
    arbiter.handle()
}

async fn serve_views(context: ContextRef, queue: Arc<ViewQueue>) {
    let service = match app(context).into_factory().new_service(AppConfig::default()).await {
        Ok(service) => Rc::new(service),
        Err(()) => return log::error!("event=looking_failed reason=\"the routes can't be made\""),
    };
    let (pace, turns) = (Rc::new(ViewPace::new(&queue)), Arc::new(Semaphore::new(AT_ONCE)));
    while let Ok(turn) = Arc::clone(&turns).acquire_owned().await {
        pace.wait_for_rest().await;
        let Ok(begin) = queue.begin.acquire().await else { return };
        begin.forget();
        // None when nobody waits any more.
        let Some((asked, who)) = queue.waiting.lock().next_wanted() else { continue };
        let (service, queue, pace) = (Rc::clone(&service), Arc::clone(&queue), Rc::clone(&pace));
        actix_rt::spawn(async move {
            let begun = Instant::now();
            let mut seen = pin!(asked.render_by(service.as_ref()));
            let (seen, turn) = match timeout(SLOW, &mut seen).await {
                Ok(seen) => (seen, Some(turn)),
                Err(_) => {
                    drop(turn);
                    (seen.await, None)
                }
            };
            let answers = u32::try_from(who.len()).unwrap_or(u32::MAX);
            for one in who {
                let _gone = one.send(seen.clone());
            }
            if turn.is_some() {
                pace.note_look(queue.worked.load(Ordering::Relaxed), begun.elapsed(), answers);
            }
        });
    }
}

/// How fast one thread looks.
#[derive(Debug)]
struct ViewPace {
    rests_until: Cell<Instant>,
    /// How many requests of workers there were then.
    counted: Cell<(Instant, u64)>,
    busy: Cell<bool>,
}

impl ViewPace {
    fn new(queue: &ViewQueue) -> Self {
        let now = Instant::now();
        let counted = Cell::new((now, queue.worked.load(Ordering::Relaxed)));
        Self { rests_until: Cell::new(now), counted, busy: Cell::new(false) }
    }

    async fn wait_for_rest(&self) {
        while self.rests_until.get() > Instant::now() {
            sleep_until(self.rests_until.get()).await;
        }
    }

    /// It looked so long, and that was passed on so often.
    fn note_look(&self, worked: u64, took: Duration, answers: u32) {
        let (now, (since, before)) = (Instant::now(), self.counted.get());
        if now - since >= COUNTED {
            self.counted.set((now, worked));
            self.busy.set(is_busy(worked.saturating_sub(before), now - since));
        }
        if self.busy.get() {
            self.rests_until.set(now + rest_after(took, answers));
        }
    }
}

fn is_busy(worked: u64, within: Duration) -> bool {
    u128::from(worked) * 1_000_000 >= u128::from(BUSY) * within.as_micros()
}

/// How long to rest after a look that took so long and was passed on so often.
fn rest_after(took: Duration, answers: u32) -> Duration {
    took.saturating_add(PASSING_ON.saturating_mul(answers)).saturating_mul(RESTS).min(LONGEST_REST)
}

impl ViewQueue {
    async fn ask_once(&self, asked: ViewRequest) -> Result<ViewAnswer, Problem> {
        let (answer, answered) = oneshot::channel();
        if self.waiting.lock().add(asked, answer)? {
            self.begin.add_permits(1);
        }
        // Its task panicked, or the thread was stopped.
        answered.await.map_err(|_| Problem::new(Code::Internal, "the answer was lost; send the request again"))
    }
}

impl WaitingViews {
    /// Whether it is something new.
    fn add(&mut self, asked: ViewRequest, answer: oneshot::Sender<ViewAnswer>) -> Result<bool, Problem> {
        if self.count >= MOST {
            let detail = format!("{MOST} requests for pages and lists are waiting already");
            return Err(Problem::new(Code::Busy, detail));
        }
        self.count += 1;
        if let Some(who) = self.who.get_mut(&asked) {
            who.push(answer);
            return Ok(false);
        }
        let asked = Arc::new(asked);
        self.order.push_back(Arc::clone(&asked));
        self.who.insert(asked, vec![answer]);
        Ok(true)
    }

    /// The next that somebody still waits for, of those that a permit was given for.
    fn next_wanted(&mut self) -> Option<(Arc<ViewRequest>, Vec<oneshot::Sender<ViewAnswer>>)> {
        let asked = self.order.pop_front()?;
        let mut who = self.who.remove(&asked)?;
        self.count -= who.len();
        who.retain(|one| !one.is_closed());
        (!who.is_empty()).then_some((asked, who))
    }
}

fn listed_headers(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

impl ViewRequest {
    fn of(request: &ServiceRequest) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: listed_headers(request.headers()),
            peer: request.peer_addr().map(|peer| peer.ip()),
        }
    }

    fn to_request(&self) -> Request {
        let mut request = Request::new();
        let head = request.head_mut();
        head.method = self.method.clone();
        head.uri = self.uri.clone();
        for (name, value) in &self.headers {
            head.headers.append(name.clone(), value.clone());
        }
        // Without its port, by which no two connections would ask the same.
        head.peer_addr = self.peer.map(|peer| SocketAddr::new(peer, 0));
        request
    }

    async fn render_by<S>(&self, service: &S) -> ViewAnswer
    where
        S: Service<Request, Response = ServiceResponse<BoxBody>, Error = Error>,
    {
        let answer = match service.call(self.to_request()).await {
            Ok(answer) => answer.into_parts().1,
            Err(err) => err.error_response(),
        };
        let (status, headers) = (answer.status(), listed_headers(answer.headers()));
        let code = answer.extensions().get::<Code>().copied();
        // All of these are short: what goes on for long isn't handed over.
        let body = to_bytes(answer.into_body()).await.unwrap_or_default();
        ViewAnswer { status, headers, body, code }
    }
}

impl ViewAnswer {
    fn into_response(self) -> HttpResponse {
        let mut answer = HttpResponse::build(self.status);
        for header in self.headers {
            answer.append_header(header);
        }
        if let Some(code) = self.code {
            answer.extensions_mut().insert(code);
        }
        answer.body(self.body)
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn asked(path: &str) -> ViewRequest {
        ViewRequest::of(&TestRequest::get().uri(path).to_srv_request())
    }

    fn seen() -> ViewAnswer {
        ViewAnswer { status: StatusCode::OK, headers: Vec::new(), body: Bytes::new(), code: None }
    }

    fn is_looked_at(method: &Method, path: &str) -> bool {
        crate::routes::table().find(method, path).class() == RouteClass::View
    }

    #[test]
    fn what_is_read_by_people_is_handed_over_and_what_works_or_watches_is_not() {
        for path in ["/", "/web/task", "/web/task/1", "/api/v1/tasks", "/api/v1/workflows/a.toml", "/info", "/task/x"] {
            assert!(is_looked_at(&Method::GET, path) && is_looked_at(&Method::HEAD, path), "{path}");
            assert!(!is_looked_at(&Method::POST, path), "{path}");
        }
        for path in ["/healthz", "/readyz", "/metrics", "/api/v1/events", "/assets/x/y", "/login", "/refresh"] {
            assert!(!is_looked_at(&Method::GET, path), "{path}");
        }
    }

    #[test]
    fn the_same_that_still_waits_is_answered_once_and_in_turn() {
        let mut waiting = WaitingViews::default();
        let mut add = |path: &str| {
            let (answer, answered) = oneshot::channel();
            (waiting.add(asked(path), answer).unwrap(), answered)
        };
        let (first, mut one) = add("/web/task");
        let (second, other) = add("/");
        let (same, mut two) = add("/web/task");
        assert_eq!((first, second, same), (true, true, false));
        drop(other);
        let (begun, who) = waiting.next_wanted().unwrap();
        assert_eq!((begun.uri.path(), who.len()), ("/web/task", 2));
        // From here on it would be shown what was true before it asked.
        let (answer, _later) = oneshot::channel();
        assert!(waiting.add(asked("/web/task"), answer).unwrap());
        for one in who {
            one.send(seen()).unwrap();
        }
        assert!(one.try_recv().is_ok() && two.try_recv().is_ok());
        assert!(waiting.next_wanted().is_none(), "nobody waits for it any more");
        assert_eq!(waiting.next_wanted().unwrap().1.len(), 1);
        assert_eq!(waiting.count, 0);
    }

    #[test]
    fn other_words_are_another_question() {
        let with = |name: &'static str, value: &'static str| {
            ViewRequest::of(&TestRequest::get().uri("/web/task").insert_header((name, value)).to_srv_request())
        };
        assert_eq!(with("cookie", "session=a"), with("cookie", "session=a"));
        for other in [asked("/web/task"), with("cookie", "session=b"), with("authorization", "session=a")] {
            assert_ne!(other, with("cookie", "session=a"));
        }
    }

    #[test]
    fn a_rest_is_longer_than_the_look_but_has_an_end() {
        assert_eq!(rest_after(Duration::from_millis(1), 10), Duration::from_millis(57));
        assert_eq!(rest_after(Duration::from_millis(1), 1_000), LONGEST_REST);
        assert_eq!(rest_after(Duration::MAX, u32::MAX), LONGEST_REST);
    }

    #[tokio::test(start_paused = true)]
    async fn it_rests_only_while_workers_are_busy() {
        let pace = ViewPace {
            rests_until: Cell::new(Instant::now()),
            counted: Cell::new((Instant::now(), 0)),
            busy: Cell::new(false),
        };
        let took = Duration::from_millis(2);
        for (worked, rests) in [(99, false), (300, true), (300, false)] {
            tokio::time::advance(COUNTED).await;
            pace.note_look(worked, took, 1);
            let begun = Instant::now();
            pace.wait_for_rest().await;
            assert_eq!(begun.elapsed() > took, rests, "{worked}");
        }
    }

    #[test]
    fn only_so_many_wait() {
        let mut waiting = WaitingViews::default();
        let mut answers = Vec::new();
        for n in 0..MOST {
            let (answer, answered) = oneshot::channel();
            waiting.add(asked(&format!("/web/task?page={}", n % 7)), answer).unwrap();
            answers.push(answered);
        }
        let (answer, _answered) = oneshot::channel();
        assert_eq!(waiting.add(asked("/"), answer).unwrap_err().code(), Code::Busy);
    }
}
