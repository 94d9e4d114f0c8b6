//! How messages travel: bounded, timed, and over a panic.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::{Context, Message, Supervisor};
use tokio::sync::Notify;

use crate::{
    ActorEnvironment, ActorKit, Code, Error, KernelActor, LatePort, Ping, Port, PortLimits, Reply, Result, Timer,
    WakeUp, actor, clients, handlers,
};

/// Panics when told to, counts its starts, and can be made to wait.
struct Victim {
    kit: ActorKit,
    timer: Timer,
    starts: Arc<AtomicUsize>,
    panics: Arc<PlannedPanics>,
    go_on: Arc<Notify>,
}

/// How many of its next starts and restarts panic.
#[derive(Default)]
struct PlannedPanics {
    starts: AtomicUsize,
    restarts: AtomicUsize,
}

fn panic_if_left(planned: &AtomicUsize) {
    let left = planned.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    assert!(left.is_err(), "planned");
}

#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<u32>")]
struct Double(u32);

/// Doubles in a continuation.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<u32>")]
struct DoubleLater(u32);

/// Asks, and answers before the answer is there.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<()>")]
struct AskAside(u32);

/// Panics in the future that is waited for.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<()>")]
struct PanicMeanwhile;

/// Sets a timer for now.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<()>")]
struct WakeNow;

#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<()>")]
struct Wait;

clients! {
    struct VictimClient {
        double: Double,
        double_later: DoubleLater,
        ask_aside: AskAside,
        panic_meanwhile: PanicMeanwhile,
        wake_now: WakeNow,
        wait: Wait | patient,
        ping: Ping,
    }
}

/// The number at which it panics.
const UNLUCKY: u32 = 13;

impl Victim {
    fn double(&mut self, Double(number): Double, _: &mut Context<Self>) -> Result<u32> {
        assert_ne!(number, UNLUCKY, "planned");
        Ok(number * 2)
    }

    fn double_later(&mut self, DoubleLater(number): DoubleLater, _: &mut Context<Self>) -> Reply<Self, u32> {
        self.reply_after(std::future::ready(number), |this, number, ctx| this.double(Double(number), ctx))
    }

    fn ask_aside(&mut self, AskAside(number): AskAside, ctx: &mut Context<Self>) -> Result<()> {
        self.ask(ctx, std::future::ready(number), |this, number, ctx| {
            let _doubled = this.double(Double(number), ctx);
        });
        Ok(())
    }

    fn panic_meanwhile(&mut self, _: PanicMeanwhile, _: &mut Context<Self>) -> Reply<Self, ()> {
        self.reply_after(async { panic!("planned") }, |_, (), _| Ok(()))
    }

    fn wake_now(&mut self, _: WakeNow, ctx: &mut Context<Self>) -> Result<()> {
        let now = self.now();
        self.wake_at(Some(now), ctx);
        Ok(())
    }

    fn wait(&mut self, _: Wait, _: &mut Context<Self>) -> Reply<Self, ()> {
        let go_on = Arc::clone(&self.go_on);
        self.reply_after(async move { go_on.notified().await }, |_, (), _| Ok(()))
    }

    fn count_start(&mut self, _: &mut Context<Self>) {
        self.starts.fetch_add(1, Ordering::SeqCst);
        panic_if_left(&self.panics.starts);
    }

    fn panic_if_planned(&mut self) {
        panic_if_left(&self.panics.restarts);
    }

    fn panic_at_wake(&mut self, _: &mut Context<Self>) {
        panic!("planned");
    }
}

handlers!(Victim {
    Double => double,
    async DoubleLater => double_later,
    AskAside => ask_aside,
    async PanicMeanwhile => panic_meanwhile,
    WakeNow => wake_now,
    async Wait => wait,
});

actor!(Victim { kit: kit, mailbox: 100, start: count_start, restart: panic_if_planned, wake: panic_at_wake });

struct Stage {
    to: actix::Addr<Victim>,
    environment: ActorEnvironment,
    starts: Arc<AtomicUsize>,
    gave_up: Arc<AtomicUsize>,
    go_on: Arc<Notify>,
}

impl Stage {
    fn new() -> Self {
        Self::with_panics(PlannedPanics::default())
    }

    fn with_panics(panics: PlannedPanics) -> Self {
        let (starts, gave_up, go_on) = <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<Notify>)>::default();
        let count = Arc::clone(&gave_up);
        let environment = ActorEnvironment::system(Arc::new(move |_: &str| {
            count.fetch_add(1, Ordering::SeqCst);
        }));
        let victim = Victim {
            kit: environment.kit("victim"),
            timer: Timer::default(),
            starts: Arc::clone(&starts),
            panics: Arc::new(panics),
            go_on: Arc::clone(&go_on),
        };
        Self { to: Supervisor::start(|_| victim), environment, starts, gave_up, go_on }
    }

    fn client(&self) -> VictimClient {
        VictimClient::connect("victim", &self.to, &self.environment)
    }

    fn port<M>(&self, max_under_way: usize, timeout: Duration) -> Port<M>
    where
        Victim: actix::Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let limits = PortLimits { max_under_way, timeout };
        Port::new("victim", self.to.clone().recipient(), limits, &self.environment.activity)
    }

    fn is_idle(&self) -> bool {
        self.environment.activity.idle().0
    }

    /// Waits for a start after a panic that nobody is answered.
    async fn restarted(&self, starts: usize) {
        while self.starts.load(Ordering::SeqCst) < starts {
            tokio::task::yield_now().await;
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

fn code<T: std::fmt::Debug>(answer: Result<T>) -> Code {
    let Error { code, .. } = answer.unwrap_err();
    code
}

#[actix::test]
async fn an_actor_that_panics_answers_restarts_and_keeps_its_mailbox() {
    let stage = Stage::new();
    let port = stage.port(10, PATIENCE);
    let (before, panics, behind) = (port.call(Double(1)), port.call(Double(13)), port.call(Double(2)));
    assert_eq!(before.await, Ok(2));
    assert_eq!(code(panics.await), Code::Internal);
    assert_eq!(behind.await, Ok(4), "what waited behind the panic is answered");
    assert_eq!((stage.starts.load(Ordering::SeqCst), stage.gave_up.load(Ordering::SeqCst)), (2, 0));
}

#[actix::test]
async fn a_continuation_that_panics_answers_and_restarts_too() {
    let stage = Stage::new();
    let client = stage.client();
    assert_eq!(client.call(DoubleLater(2)).await, Ok(4));
    let (panics, behind) = (client.call(DoubleLater(UNLUCKY)), client.call(Double(2)));
    assert_eq!(behind.await, Ok(4));
    assert_eq!(code(panics.await), Code::Internal);
    stage.restarted(2).await;
    assert_eq!(client.call(Double(3)).await, Ok(6));
}

#[actix::test]
async fn a_panic_that_nobody_waits_for_restarts_the_actor() {
    let stage = Stage::new();
    let client = stage.client();
    assert_eq!(client.call(AskAside(UNLUCKY)).await, Ok(()));
    stage.restarted(2).await;
    assert_eq!(client.call(WakeNow).await, Ok(()));
    stage.restarted(3).await;
    assert_eq!(client.call(Double(3)).await, Ok(6), "its mailbox is kept");
    assert_eq!(client.call(Ping).await.map(|pong| pong.restarts), Ok(2));
    while !stage.is_idle() {
        tokio::task::yield_now().await;
    }
}

#[actix::test]
async fn a_future_that_panics_restarts_the_actor_and_answers() {
    let stage = Stage::new();
    let client = stage.client();
    assert_eq!(code(client.call(PanicMeanwhile).await), Code::Internal);
    stage.restarted(2).await;
    assert_eq!(client.call(Double(3)).await, Ok(6), "its mailbox is kept");
}

#[actix::test]
async fn what_is_asked_counts_as_under_way_until_its_continuation_has_run() {
    let stage = Stage::new();
    assert_eq!(stage.client().call(AskAside(2)).await, Ok(()));
    while !stage.is_idle() {
        tokio::task::yield_now().await;
    }
    let waits = stage.client().call(Wait);
    tokio::task::yield_now().await;
    assert!(!stage.is_idle());
    stage.go_on.notify_one();
    assert_eq!(waits.await, Ok(()));
}

#[actix::test]
async fn a_client_without_a_port_says_so() {
    let stage = Stage::new();
    let client = VictimClient::unconnected().with::<Double>(stage.port(1, PATIENCE));
    assert_eq!(client.call(Double(1)).await, Ok(2));
    let Error { code, detail } = client.call(Wait).await.unwrap_err();
    assert_eq!((code, detail.as_str()), (Code::Internal, "wait isn't connected"));
}

#[actix::test]
async fn a_start_that_panics_restarts_the_actor_and_keeps_its_mailbox() {
    let stage = Stage::with_panics(PlannedPanics { starts: 1.into(), ..PlannedPanics::default() });
    let client = stage.client();
    assert_eq!(client.call(Double(2)).await, Ok(4), "what waited for the first start is answered");
    assert_eq!((stage.starts.load(Ordering::SeqCst), stage.gave_up.load(Ordering::SeqCst)), (2, 0));
    while !stage.is_idle() {
        tokio::task::yield_now().await;
    }
}

#[actix::test]
async fn a_restart_that_panics_is_done_again_before_the_next_start() {
    let stage = Stage::with_panics(PlannedPanics { restarts: 1.into(), ..PlannedPanics::default() });
    let client = stage.client();
    let (panics, behind) = (client.call(Double(UNLUCKY)), client.call(Double(2)));
    assert_eq!(code(panics.await), Code::Internal);
    assert_eq!(behind.await, Ok(4), "its mailbox is kept");
    assert_eq!(stage.starts.load(Ordering::SeqCst), 2, "no start with what was forgotten by half");
    assert_eq!(client.call(Ping).await.map(|pong| pong.restarts), Ok(2));
}

#[actix::test]
async fn a_start_that_panics_each_time_gives_up_and_leaves_the_thread_to_others() {
    let stage = Stage::with_panics(PlannedPanics { starts: 1_000.into(), ..PlannedPanics::default() });
    // On the same thread: it comes to its end only where the starts are apart.
    while stage.gave_up.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(stage.starts.load(Ordering::SeqCst), 4, "three restarts a minute are tolerated");
    let answer = tokio::time::timeout(Duration::from_millis(1), stage.client().call(Double(2))).await;
    assert!(answer.is_err(), "nothing is handled by an actor that did not start");
}

#[actix::test]
async fn more_than_three_restarts_a_minute_are_too_many() {
    let stage = Stage::new();
    let port = stage.port(10, PATIENCE);
    for panics in 1..=4 {
        assert_eq!(code(port.call(Double(13)).await), Code::Internal);
        assert_eq!(stage.gave_up.load(Ordering::SeqCst), usize::from(panics > 3));
    }
}

#[actix::test]
async fn a_full_port_refuses_and_drops_hints() {
    let stage = Stage::new();
    let port: Port<Wait> = stage.port(2, PATIENCE);
    let (one, two) = (port.call(Wait), port.clone().call(Wait));
    assert_eq!(code(port.call(Wait).await), Code::Busy, "clones share the bound");
    assert!(!port.hint(Wait));
    assert!(!stage.is_idle(), "calls are under way before anybody polls them");
    stage.go_on.notify_waiters();
    let ended = async {
        stage.go_on.notify_one();
        one.await
    };
    assert_eq!(ended.await, Ok(()));
    stage.go_on.notify_one();
    assert_eq!(two.await, Ok(()));
    assert!(stage.is_idle());
    assert!(port.hint(Wait), "there is room again");
    assert!(stage.client().hint(Wait));
}

#[actix::test]
async fn an_answer_that_does_not_come_is_a_timeout() {
    let stage = Stage::new();
    let port: Port<Wait> = stage.port(2, Duration::from_millis(1));
    assert_eq!(code(port.call(Wait).await), Code::Timeout);
}

#[actix::test]
async fn a_message_whose_caller_left_counts_until_it_is_handled() {
    let stage = Stage::new();
    let port: Port<Wait> = stage.port(2, Duration::from_millis(1));
    assert_eq!(code(port.call(Wait).await), Code::Timeout);
    drop(port.call(Wait));
    assert_eq!(code(port.call(Wait).await), Code::Busy, "both are with the actor");
    assert!(!stage.is_idle());
    while !stage.is_idle() {
        stage.go_on.notify_one();
        tokio::task::yield_now().await;
    }
    assert!(port.hint(Wait), "there is room again");
}

#[actix::test]
async fn a_late_port_hears_once_it_is_set() {
    let stage = Stage::new();
    let late = LatePort::default();
    assert!(!late.hint(Double(1)));
    late.set(stage.port(1, PATIENCE));
    assert!(late.hint(Double(1)));
}
