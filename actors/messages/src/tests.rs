//! How messages travel: bounded, timed, and over a panic.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::{Actor, Context, Handler, Message, ResponseFuture, Supervised, Supervisor};
use tokio::sync::Notify;

use crate::{Activity, Code, Error, Guarded, LatePort, Port, Result, Supervision, SystemClock, guarded};

/// Panics when told to, counts its starts, and can be made to wait.
struct Victim {
    supervision: Supervision,
    starts: Arc<AtomicUsize>,
    go_on: Arc<Notify>,
}

#[derive(Message)]
#[rtype(result = "Result<u32>")]
struct Double(u32);

#[derive(Message)]
#[rtype(result = "Result<()>")]
struct Wait;

impl Actor for Victim {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(100);
        self.starts.fetch_add(1, Ordering::SeqCst);
    }
}

impl Supervised for Victim {}

impl Guarded for Victim {
    fn supervision(&self) -> &Supervision {
        &self.supervision
    }
}

impl Handler<Double> for Victim {
    type Result = Result<u32>;

    fn handle(&mut self, Double(number): Double, ctx: &mut Self::Context) -> Self::Result {
        guarded(self, ctx, |_, _| {
            assert!(number != 13, "planned");
            Ok(number * 2)
        })
    }
}

impl Handler<Wait> for Victim {
    type Result = ResponseFuture<Result<()>>;

    fn handle(&mut self, _: Wait, _: &mut Self::Context) -> Self::Result {
        let go_on = Arc::clone(&self.go_on);
        Box::pin(async move {
            go_on.notified().await;
            Ok(())
        })
    }
}

struct Stage {
    to: actix::Addr<Victim>,
    starts: Arc<AtomicUsize>,
    gave_up: Arc<AtomicUsize>,
    go_on: Arc<Notify>,
    activity: Activity,
}

impl Stage {
    fn new() -> Self {
        let (starts, gave_up, go_on) = <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<Notify>)>::default();
        let count = Arc::clone(&gave_up);
        let give_up = Arc::new(move |_: &str| {
            count.fetch_add(1, Ordering::SeqCst);
        });
        let supervision = Supervision::new("victim", Arc::new(SystemClock), give_up);
        let victim = Victim { supervision, starts: Arc::clone(&starts), go_on: Arc::clone(&go_on) };
        Self { to: Supervisor::start(|_| victim), starts, gave_up, go_on, activity: Activity::default() }
    }

    fn port<M>(&self, bound: usize, timeout: Duration) -> Port<M>
    where
        Victim: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        Port::new("victim", self.to.clone().recipient(), bound, timeout, &self.activity)
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
    assert!(!stage.activity.idle().0, "calls are under way before anybody polls them");
    stage.go_on.notify_waiters();
    let ended = async {
        stage.go_on.notify_one();
        one.await
    };
    assert_eq!(ended.await, Ok(()));
    stage.go_on.notify_one();
    assert_eq!(two.await, Ok(()));
    assert!(stage.activity.idle().0);
    assert!(port.hint(Wait), "there is room again");
}

#[actix::test]
async fn an_answer_that_does_not_come_is_a_timeout() {
    let stage = Stage::new();
    let port: Port<Wait> = stage.port(2, Duration::from_millis(1));
    assert_eq!(code(port.call(Wait).await), Code::Timeout);
}

#[actix::test]
async fn a_late_port_hears_once_it_is_set() {
    let stage = Stage::new();
    let late = LatePort::default();
    assert!(!late.hint(Double(1)));
    late.set(stage.port(1, PATIENCE));
    assert!(late.hint(Double(1)));
}
