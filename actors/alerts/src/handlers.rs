//! What the alerts actor answers and hears.

use actix::fut::wrap_future;
use actix::{Context, Handler, ResponseActFuture};
use flowlord_domain::ladder::LadderState;
use flowlord_kernel::Pong;
use flowlord_kernel::{Code, Error, Ping, Result, guarded};
use flowlord_messages::alerts::{Acknowledge, Acknowledged, LadderStates, LadderStatus, StopAlerting};
use flowlord_messages::hint::AlertRaised;
use tokio::sync::oneshot;

use crate::tell::tasks;
use crate::{Alerts, Asked, Ladder};

impl Handler<AlertRaised> for Alerts {
    type Result = ();

    /// The ladder looks in its own time; what is told at once is in the outbox already. But a clock that was set
    /// back has made that time too late: then it looks now, and plans anew.
    fn handle(&mut self, _: AlertRaised, ctx: &mut Self::Context) {
        guarded(self, ctx, |this, ctx| {
            let now = this.deps.clock.now();
            for ladder in &mut this.ladders {
                if ladder.state.as_ref().is_some_and(|state| state.wait(now) > state.interval) {
                    ladder.next = Some(now);
                }
            }
            this.look(now, ctx);
        });
    }
}

impl Handler<Acknowledge> for Alerts {
    type Result = ResponseActFuture<Self, Result<Vec<Acknowledged>>>;

    /// Each route answers when it is its turn: between two steps of its ladder.
    fn handle(&mut self, said: Acknowledge, ctx: &mut Self::Context) -> Self::Result {
        guarded(self, ctx, |this, ctx| -> Self::Result {
            let answers = this.ask(&said, ctx);
            Box::pin(wrap_future(async move {
                let mut acknowledged = Vec::new();
                for answer in answers? {
                    let lost = |_| Error::new(Code::Internal, "the alerts actor was restarted: ask again");
                    acknowledged.extend(answer.await.map_err(lost)??);
                }
                Ok(acknowledged)
            }))
        })
    }
}

type Answers = Vec<oneshot::Receiver<Result<Option<Acknowledged>>>>;

impl Alerts {
    fn ask(&mut self, said: &Acknowledge, ctx: &mut Context<Self>) -> Result<Answers> {
        if self.stopping {
            return Err(Error::new(Code::Stopping, "the service is stopping"));
        }
        let asked = |ladder: &mut Ladder| {
            let (answer, receiver) = oneshot::channel();
            ladder.asked.push_back(Asked { said: said.clone(), answer });
            receiver
        };
        let wanted =
            |ladder: &&mut Ladder| said.route.as_ref().is_none_or(|route| *route == ladder.route.name);
        let answers = self.ladders.iter_mut().filter(wanted).map(asked).collect();
        self.look(self.deps.clock.now(), ctx);
        Ok(answers)
    }
}

impl Handler<LadderStates> for Alerts {
    type Result = Result<Vec<LadderStatus>>;

    fn handle(&mut self, _: LadderStates, ctx: &mut Self::Context) -> Self::Result {
        guarded(self, ctx, |this, _| {
            let known = |ladder: &Ladder| Some(status(ladder, ladder.state.as_ref()?));
            Ok(this.ladders.iter().filter_map(known).collect())
        })
    }
}

fn status(ladder: &Ladder, state: &LadderState) -> LadderStatus {
    let incident = state.incident.as_ref();
    LadderStatus {
        route: ladder.route.name.clone(),
        policy: ladder.route.policy,
        interval: state.interval,
        next: state.next_tick,
        incident_since: incident.map(|incident| incident.opened),
        alerts: incident.map_or(0, |incident| incident.alerts),
        steps: incident.map_or(0, |incident| incident.steps),
        tasks: tasks(incident),
        acknowledged_by: state.acknowledged_by(),
    }
}

impl Handler<StopAlerting> for Alerts {
    type Result = ResponseActFuture<Self, Result<()>>;

    /// A step under way is one command: it happens wholly or not at all, so there is nothing to wait for.
    fn handle(&mut self, _: StopAlerting, ctx: &mut Self::Context) -> Self::Result {
        self.stopping = true;
        for asked in self.ladders.iter_mut().flat_map(|ladder| ladder.asked.drain(..)) {
            let _nobody_waits_any_more =
                asked.answer.send(Err(Error::new(Code::Stopping, "the service is stopping")));
        }
        self.timer.set(None, ctx, |this| &mut this.timer);
        Box::pin(actix::fut::ready(Ok(())))
    }
}

impl Handler<Ping> for Alerts {
    type Result = Result<Pong>;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> Result<Pong> {
        Ok(Pong { restarts: self.deps.supervision.restarts() })
    }
}
