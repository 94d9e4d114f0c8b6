//! The alerts actor decides what people are notified of, and how often.
//!
//! Each route has an escalation of its own. At each check the actor reads the alerts that no notification has told yet,
//! asks the policy (a pure function), and has the new state and the message stored by one command: a restart neither
//! repeats nor forgets. The notifier sends.
//!
//! Some of the alerts come from the [deadline checker](deadlines), an actor of its own.

pub mod deadlines;
mod notification;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use actix::{Addr, ArbiterHandle, Context, Supervisor};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::escalation::{EscalationRoute, EscalationState};
use flowlord_kernel::{Code, Error, KernelActor, Reply, Result, Timer, WakeUp, actor, handlers};
use flowlord_messages::alerts::{
    AcknowledgeAlerts, AcknowledgedIncident, AdvanceEscalation, DEFAULT_ROUTE, EscalationInput, EscalationStatus,
    ReadEscalation, ReadEscalations, RouteRule, SetRoutes, StopAlerting,
};
use flowlord_messages::deps::DatabaseDeps;
use flowlord_messages::events::AlertsRaised;
use tokio::sync::oneshot;

use crate::notification::{RouteCheck, failing_tasks};

const RETRY_DELAY: TimeDelta = TimeDelta::seconds(1);

#[derive(Debug, Clone)]
pub struct Config {
    /// The routes in the order in which they are tried; the default one takes what no other takes.
    pub routes: Vec<EscalationRoute>,
    /// The address in links that people click.
    pub public_url: String,
}

#[derive(Debug)]
pub struct Alerts {
    public_url: String,
    deps: DatabaseDeps,
    escalations: Vec<RouteEscalation>,
    /// Nobody is notified before the database knows the routes.
    are_routes_stored: bool,
    is_stopping: bool,
    timer: Timer,
}

/// The escalation of one route.
#[derive(Debug)]
struct RouteEscalation {
    route: EscalationRoute,
    /// As last stored or read; none before the first read.
    state: Option<EscalationState>,
    /// A step of which nobody knows whether it was stored.
    unconfirmed: Option<NextStep>,
    is_checking: bool,
    next_check: Option<DateTime<Utc>>,
    requests: VecDeque<AcknowledgeRequest>,
}

/// The next state, and the command that stores it.
type NextStep = (EscalationState, AdvanceEscalation);

/// Somebody who acknowledges and waits for the answer.
#[derive(Debug)]
struct AcknowledgeRequest {
    acknowledge: Arc<AcknowledgeAlerts>,
    reply: oneshot::Sender<Result<Option<AcknowledgedIncident>>>,
}

impl AcknowledgeRequest {
    fn answer(self, answer: Result<Option<AcknowledgedIncident>>) {
        let _nobody_waits_any_more = self.reply.send(answer);
    }
}

impl RouteEscalation {
    fn new(route: EscalationRoute) -> Self {
        Self { route, state: None, unconfirmed: None, is_checking: false, next_check: None, requests: VecDeque::new() }
    }

    fn is_due(&self, now: DateTime<Utc>) -> bool {
        let is_time = !self.requests.is_empty() || self.next_check.is_some_and(|next| next <= now);
        is_time && !self.is_checking
    }

    fn add_request(
        &mut self,
        acknowledge: &Arc<AcknowledgeAlerts>,
    ) -> oneshot::Receiver<Result<Option<AcknowledgedIncident>>> {
        let (reply, receiver) = oneshot::channel();
        self.requests.push_back(AcknowledgeRequest { acknowledge: Arc::clone(acknowledge), reply });
        receiver
    }

    fn refuse_requests(&mut self, err: &Error) {
        for request in self.requests.drain(..) {
            request.answer(Err(err.clone()));
        }
    }

    /// None before the first read.
    fn status(&self) -> Option<EscalationStatus> {
        let state = self.state.as_ref()?;
        let incident = state.incident.as_ref();
        Some(EscalationStatus {
            route: self.route.name.clone(),
            policy: self.route.policy,
            interval: state.interval,
            next: state.next_check,
            incident_since: incident.map(|incident| incident.opened),
            alerts: incident.map_or(0, |incident| incident.alerts),
            steps: incident.map_or(0, |incident| incident.steps),
            tasks: failing_tasks(incident),
            acknowledged_by: state.acknowledged_by(),
        })
    }
}

impl Alerts {
    pub fn start(arbiter: &ArbiterHandle, config: Config, deps: DatabaseDeps) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            timer: Timer::default(),
            public_url: config.public_url,
            deps,
            escalations: config.routes.into_iter().map(RouteEscalation::new).collect(),
            are_routes_stored: false,
            is_stopping: false,
        })
    }

    /// Stores the routes, and then checks each.
    fn store_routes(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        let routes = self.escalations.iter().map(|escalation| &escalation.route);
        let routes = routes
            .filter(|route| route.name != DEFAULT_ROUTE)
            .map(|route| RouteRule { name: route.name.clone(), matcher: route.matcher.clone() })
            .collect();
        self.ask(ctx, self.deps.writer.call(SetRoutes { now, routes }), move |this, stored, ctx| match stored {
            Ok(()) => {
                this.are_routes_stored = true;
                this.escalations.iter_mut().for_each(|escalation| escalation.next_check = Some(now));
                this.check_due(now, ctx);
            }
            Err(err) => {
                log::warn!("event=routes_not_set error={err:?}");
                this.wake_at(Some(now + RETRY_DELAY), ctx);
            }
        });
    }

    /// Checks each route whose time has come, or where somebody acknowledges.
    fn check_due(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        if self.is_stopping || !self.are_routes_stored {
            return;
        }
        for index in 0..self.escalations.len() {
            if self.escalations[index].is_due(now) {
                self.check_route(index, now, ctx);
            }
        }
        let idle = self.escalations.iter().filter(|escalation| !escalation.is_checking);
        self.wake_at(idle.filter_map(|escalation| escalation.next_check).min(), ctx);
    }

    fn check_route(&mut self, index: usize, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        let escalation = &mut self.escalations[index];
        escalation.is_checking = true;
        // Stored again as it is: one decided anew could take the same key for other alerts, and nobody would be notified
        // of those.
        if let Some(step) = escalation.unconfirmed.take() {
            return self.store_step(index, step, None, ctx);
        }
        let read = ReadEscalation { route: escalation.route.name.clone() };
        self.ask(ctx, self.deps.reader.call(read), move |this, input, ctx| match input {
            Ok(input) => this.take_step(index, &input, now, ctx),
            Err(err) => this.retry_later(index, &err, ctx),
        });
    }

    fn take_step(&mut self, index: usize, input: &EscalationInput, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        let RouteEscalation { route, requests, .. } = &mut self.escalations[index];
        let stored = stored_state(input);
        let check = RouteCheck { route, public_url: &self.public_url, input, stored: stored.as_ref(), now };
        if let Some(request) = requests.pop_front() {
            let Some((next, advance, tasks)) = check.acknowledge(&request.acknowledge) else {
                request.answer(Ok(None));
                return self.end_check(index, ctx);
            };
            let opened = next.incident.as_ref().map(|incident| incident.opened);
            let answer = AcknowledgedIncident { route: route.name.clone(), opened, tasks };
            return self.store_step(index, (next, advance), Some((request, answer)), ctx);
        }
        match check.step() {
            (next, Some(advance)) => self.store_step(index, (next, advance), None, ctx),
            (next, None) => self.move_on(index, next, ctx),
        }
    }

    fn store_step(
        &mut self,
        index: usize,
        (next, advance): NextStep,
        request: Option<(AcknowledgeRequest, AcknowledgedIncident)>,
        ctx: &mut Context<Self>,
    ) {
        self.ask(ctx, self.deps.writer.call(advance.clone()), move |this, stored, ctx| {
            if let Some((request, answer)) = request {
                request.answer(stored.clone().map(|()| Some(answer)));
            }
            match stored {
                Ok(()) => this.move_on(index, next, ctx),
                Err(err) => {
                    // A refusal is known; after a timeout the command may be in the writer's queue.
                    let is_unknown = err.code == Code::Timeout;
                    this.escalations[index].unconfirmed = is_unknown.then_some((next, advance));
                    this.retry_later(index, &err, ctx);
                }
            }
        });
    }

    fn move_on(&mut self, index: usize, state: EscalationState, ctx: &mut Context<Self>) {
        let escalation = &mut self.escalations[index];
        escalation.next_check = Some(state.next_check);
        escalation.state = Some(state);
        self.end_check(index, ctx);
    }

    fn retry_later(&mut self, index: usize, err: &Error, ctx: &mut Context<Self>) {
        let at = self.now() + RETRY_DELAY;
        let escalation = &mut self.escalations[index];
        log::warn!("event=ladder_not_moved route={} error={err:?}", escalation.route.name);
        escalation.refuse_requests(err);
        escalation.next_check = Some(at);
        self.end_check(index, ctx);
    }

    fn end_check(&mut self, index: usize, ctx: &mut Context<Self>) {
        self.escalations[index].is_checking = false;
        self.check_due(self.now(), ctx);
    }

    fn note_raised(&mut self, _: AlertsRaised, ctx: &mut Context<Self>) {
        let now = self.now();
        // A check has its own time, and messages that go out at once are in the outbox already. But a clock that was set
        // back has made that time too late: then the route is checked now, and plans anew.
        for escalation in &mut self.escalations {
            if escalation.state.as_ref().is_some_and(|state| state.time_to_check(now) > state.interval) {
                escalation.next_check = Some(now);
            }
        }
        self.check_due(now, ctx);
    }

    fn acknowledge(
        &mut self,
        acknowledge: AcknowledgeAlerts,
        ctx: &mut Context<Self>,
    ) -> Reply<Self, Vec<AcknowledgedIncident>> {
        let acknowledge = Arc::new(acknowledge);
        let mut answers = Err(Error::new(Code::Stopping, "the service is stopping"));
        if !self.is_stopping {
            let route = acknowledge.route.as_ref();
            let escalations = self.escalations.iter_mut();
            let asked = escalations.filter(|escalation| route.is_none_or(|route| *route == escalation.route.name));
            answers = Ok(asked.map(|escalation| escalation.add_request(&acknowledge)).collect::<Vec<_>>());
            // A route whose check is under way answers after it: between two steps of its escalation.
            self.check_due(self.now(), ctx);
        }
        let acknowledged = async move {
            let mut acknowledged = Vec::new();
            for answer in answers? {
                // A dropped sender: its request was forgotten.
                let answer = answer
                    .await
                    .map_err(|_| Error::new(Code::Internal, "the alerts actor was restarted: try again"))?;
                acknowledged.extend(answer?);
            }
            Ok(acknowledged)
        };
        self.reply_after(acknowledged, |_, acknowledged, _| acknowledged)
    }

    fn list_states(&mut self, _: ReadEscalations, _: &mut Context<Self>) -> Result<Vec<EscalationStatus>> {
        Ok(self.escalations.iter().filter_map(RouteEscalation::status).collect())
    }

    fn stop_alerting(&mut self, _: StopAlerting, ctx: &mut Context<Self>) -> Result<()> {
        // A step under way is one command: it happens wholly or not at all, so there is nothing to wait for.
        self.is_stopping = true;
        let err = Error::new(Code::Stopping, "the service is stopping");
        self.escalations.iter_mut().for_each(|escalation| escalation.refuse_requests(&err));
        self.wake_at(None, ctx);
        Ok(())
    }

    fn forget_checks(&mut self) {
        for escalation in &mut self.escalations {
            (escalation.is_checking, escalation.next_check) = (false, None);
            // Their callers get an error.
            escalation.requests.clear();
        }
    }

    fn continue_checks(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        if self.are_routes_stored {
            self.check_due(now, ctx);
        } else {
            self.store_routes(now, ctx);
        }
    }
}

fn stored_state(input: &EscalationInput) -> Option<EscalationState> {
    // One that can't be read counts as none: notifying again is better than silence.
    serde_json::from_str(input.state.as_deref()?)
        .inspect_err(|err| log::error!("event=ladder_unreadable error={err:?}"))
        .ok()
}

handlers!(Alerts {
    AlertsRaised => note_raised,
    async AcknowledgeAlerts => acknowledge,
    ReadEscalations => list_states,
    StopAlerting => stop_alerting,
});

actor!(Alerts {
    kit: deps.kit,
    mailbox: 2048,
    start: store_routes(now),
    restart: forget_checks,
    wake: continue_checks(now),
});
