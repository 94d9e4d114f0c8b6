//! Which port leads where, how much may be under way on it, and how long its callers wait.

use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Handler, Message};
use flowlord_messages::{Activity, LatePort, Port};

/// How many messages of one kind may be under way to an actor.
pub(crate) const BOUND: usize = 2_048;

/// How long a caller waits. A group commit takes milliseconds: later than this something is wrong, and an error
/// that says so is worth more than a longer wait.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How long a copy of the database may take.
const LONG_PATIENCE: Duration = Duration::from_secs(6 * 3600);

/// Makes ports that share one count of the work under way.
#[derive(Debug, Clone)]
pub(crate) struct Ports(pub(crate) Activity);

impl Ports {
    /// A port to an actor.
    pub(crate) fn to<A, M>(&self, name: &'static str, actor: &Addr<A>) -> Port<M>
    where
        A: Actor + Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        Port::new(name, actor.clone().recipient(), BOUND, PATIENCE, &self.0)
    }

    /// A port for what takes as long as the database is large; a few at a time.
    pub(crate) fn patient_to<A, M>(&self, name: &'static str, actor: &Addr<A>) -> Port<M>
    where
        A: Actor + Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        Port::new(name, actor.clone().recipient(), 32, LONG_PATIENCE, &self.0)
    }

    /// Lets an actor hear a hint.
    pub(crate) fn hear<A, M>(&self, hint: &LatePort<M>, name: &'static str, actor: &Addr<A>)
    where
        A: Actor + Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        hint.set(self.to(name, actor));
    }
}
