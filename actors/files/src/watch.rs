//! The places that are watched, and when each is looked at next.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix::fut::{ActorFutureExt as _, wrap_future};
use actix::{AsyncContext as _, Context};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::{AlertKind, NewAlert};
use flowlord_kernel::{Busy, guarded};
use flowlord_messages::files::{KeepPlaces, WatchedPlace};
use flowlord_store::Location;

use crate::Files;
use crate::known::Known;
use crate::look::{Contents, Looked};

/// How soon files are looked at again that may still be written to.
const SETTLED: TimeDelta = TimeDelta::seconds(1);

/// A watched place.
#[derive(Debug)]
pub(crate) struct Watched {
    location: Location,
    pub(crate) status: WatchedPlace,
    /// Whether the last look at it failed.
    is_away: bool,
    /// None while a look is under way.
    known: Option<Known>,
    due: DateTime<Utc>,
}

impl Watched {
    /// One that was never looked at.
    pub(crate) fn new(location: &Location, now: DateTime<Utc>) -> Self {
        let location = match location {
            // What a rule's pattern is held against.
            Location::Local(path) => {
                Location::Local(std::path::absolute(path).unwrap_or_else(|_| path.clone()))
            }
            other => other.clone(),
        };
        let place = location.to_string();
        let status = WatchedPlace { place, looked_at: None, files: 0, problem: String::new() };
        Self { location, status, is_away: false, known: Some(Known::default()), due: now }
    }

    /// After a restart of the actor: what is stored counts.
    pub(crate) fn restart(&mut self, now: DateTime<Utc>) {
        (self.known, self.due) = (Some(Known::default()), now);
    }
}

impl Files {
    /// Forgets places that are watched no longer, and begins.
    pub(crate) fn watch(&mut self, ctx: &mut Context<Self>) {
        let busy = self.recorder.deps.activity.begin();
        let places = self.places.iter().map(|place| place.status.place.clone()).collect();
        let keep = self.recorder.deps.keep.call(KeepPlaces { places });
        ctx.spawn(wrap_future::<_, Self>(keep).map(move |kept, this, ctx| {
            if let Err(err) = kept {
                log::warn!("event=places_not_kept error={err:?}");
            }
            guarded(this, ctx, Self::look);
            drop(busy);
        }));
    }

    /// Looks at all places whose time has come.
    pub(crate) fn look(&mut self, ctx: &mut Context<Self>) {
        let now = self.recorder.deps.clock.now();
        for at in 0..self.places.len() {
            let place = &mut self.places[at];
            if place.due <= now
                && !self.stopping.load(Ordering::Relaxed)
                && let Some(known) = place.known.take()
            {
                let (location, busy) = (place.location.clone(), self.recorder.deps.activity.begin());
                self.look_at(at, location, known, busy, ctx);
            }
        }
        self.set_timer(ctx);
    }

    fn look_at(&self, at: usize, location: Location, known: Known, busy: Busy, ctx: &mut Context<Self>) {
        let looker = self.looker();
        let look = async move { looker.look(&location, known).await };
        ctx.spawn(wrap_future::<_, Self>(look).map(move |looked, this, ctx| {
            guarded(this, ctx, |this, ctx| this.looked(at, looked, ctx));
            drop(busy);
        }));
    }

    fn looked(&mut self, at: usize, Looked { known, found, soon }: Looked, ctx: &mut Context<Self>) {
        let (now, every) = (self.recorder.deps.clock.now(), self.every);
        let Some(place) = self.places.get_mut(at) else { return };
        place.known = Some(known);
        place.due = now + if soon { every.min(SETTLED) } else { every };
        match found {
            Ok(Contents { files, skipped }) => {
                if place.is_away {
                    log::info!("event=place_is_back place={:?}", place.status.place);
                }
                place.is_away = false;
                place.status =
                    WatchedPlace { looked_at: Some(now), files, problem: skipped, ..place.status.clone() };
            }
            Err(problem) if problem == place.status.problem => {}
            Err(problem) => {
                place.is_away = true;
                log::warn!("event=place_not_looked_at place={:?} error={problem:?}", place.status.place);
                place.status.problem.clone_from(&problem);
                // Files that nobody sees start nothing: people should know.
                let alert = alert(format!("a watched place can't be looked at: {problem}"), now);
                self.recorder.deps.raise.raise(alert);
            }
        }
        self.answer_stops();
        self.set_timer(ctx);
    }

    pub(crate) fn set_timer(&mut self, ctx: &mut Context<Self>) {
        let idle = self.places.iter().filter(|place| place.known.is_some());
        let at = idle.map(|place| place.due).min().filter(|_| !self.stopping.load(Ordering::Relaxed));
        self.timer.set(at, ctx, |this| &mut this.timer);
    }

    /// Tells those who wait for the end, once no look is under way.
    pub(crate) fn answer_stops(&mut self) {
        if self.places.iter().all(|place| place.known.is_some()) {
            for waits in self.waiting.drain(..) {
                let _nobody_waits_any_more = waits.send(());
            }
        }
    }

    /// How the places are.
    pub(crate) fn statuses(&self) -> Arc<Vec<WatchedPlace>> {
        Arc::new(self.places.iter().map(|place| place.status.clone()).collect())
    }
}

/// An alert about a watched place.
pub(crate) fn alert(msg: String, now: DateTime<Utc>) -> NewAlert {
    NewAlert {
        kind: AlertKind::CreateFailed,
        at: now,
        uid: None,
        id: String::new(),
        topic: "files".to_owned(),
        job: String::new(),
        workflow: String::new(),
        msg,
        task_time: None,
        at_once: None,
    }
}
