//! The actor against a database without tasks.

use std::cell::RefCell;
use std::rc::Rc;

use actix::{Actor, Arbiter, Handler};
use flowlord_kernel::{ActorEnvironment, IdGenerator, WorkCounter};
use flowlord_messages::clients::DispatchClient;
use flowlord_testkit::VirtualClock;
use tokio::sync::oneshot;

use super::*;

/// Says how many workers each question was for.
struct EmptyDatabase(Rc<RefCell<Vec<usize>>>);

impl Actor for EmptyDatabase {
    type Context = Context<Self>;
}

impl Handler<ReadNextExpiry> for EmptyDatabase {
    type Result = Result<Option<DateTime<Utc>>>;

    fn handle(&mut self, _: ReadNextExpiry, _: &mut Self::Context) -> Self::Result {
        Ok(None)
    }
}

impl Handler<GrantLeases> for EmptyDatabase {
    type Result = Result<Vec<Vec<LeaseGrant>>>;

    fn handle(&mut self, grant: GrantLeases, _: &mut Self::Context) -> Self::Result {
        self.0.borrow_mut().push(grant.wanted.len());
        Ok(grant.wanted.iter().map(|_| Vec::new()).collect())
    }
}

#[actix::test]
async fn workers_that_come_together_are_one_question_up_to_a_bound() {
    let activity = WorkCounter::default();
    let environment = ActorEnvironment {
        clock: Arc::new(VirtualClock::new(DateTime::UNIX_EPOCH, activity.clone())),
        ids: IdGenerator::seeded(7),
        activity,
        give_up: Arc::new(|name| panic!("{name} gave up")),
    };
    let questions = Rc::<RefCell<Vec<usize>>>::default();
    let database = EmptyDatabase(Rc::clone(&questions)).start();
    let deps = Deps {
        kit: environment.kit("dispatch"),
        writer: DatabaseWriter::unconnected().with::<GrantLeases>(environment.port("db", &database)),
        reader: DatabaseReader::unconnected().with::<ReadNextExpiry>(environment.port("db", &database)),
        ingest: IngestClient::unconnected(),
    };
    let dispatch = Dispatch::start(&Arbiter::current(), Config { lease: TimeDelta::seconds(60) }, deps);
    let client = DispatchClient::connect("dispatch", &dispatch, &environment);
    let request = |_| {
        let (reply, answer) = oneshot::channel();
        let (worker, no_time) = ("w".to_owned(), TimeDelta::zero());
        let request = RequestLeases { topics: Vec::new(), max: 1, worker, lease: no_time, wait: no_time, reply };
        // Sent by this, not by the first poll.
        (client.call(request), answer)
    };
    // The first one alone: it lets the actor start, with a mailbox that has room for the others.
    for count in [1, ASKED_AT_ONCE + 1] {
        let requests: Vec<_> = (0..count).map(request).collect();
        for (taken, answer) in requests {
            taken.await.unwrap();
            assert_eq!(answer.await.unwrap(), Ok(Vec::new()));
        }
    }
    assert_eq!(*questions.borrow(), [1, ASKED_AT_ONCE, 1]);
}
