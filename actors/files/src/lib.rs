//! The files actor: decides which phases a file starts, and has it recorded with the tasks that it becomes. It also
//! scans watched folders, here and in object stores, for files that nobody reports.

mod known;
mod place;
mod record;
mod scan;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::{Addr, ArbiterHandle, Context, Supervisor};
use chrono::TimeDelta;
use flowlord_kernel::{ActorKit, KernelActor, Reply, Result, Timer, WakeUp, actor, handlers};
use flowlord_messages::AlertSender;
use flowlord_messages::clients::{DatabaseReader, DatabaseWriter, LibraryClient};
use flowlord_messages::files::{
    FileArrived, FileSource, KeepWatchedPlaces, ReadWatchedPlaces, RecordedFile, StopFiles, WatchedPlace,
};
use flowlord_storage::{StorageConnections, StorageLocation};
use tokio::sync::oneshot;

use crate::place::PlaceWatch;
use crate::record::{ArrivedFile, FileRecorder};
use crate::scan::{PlaceScan, PlaceScanner};

#[derive(Debug, Clone)]
pub struct Config {
    /// The name of the machine, for templates.
    pub host: String,
    pub places: Vec<StorageLocation>,
    pub every: TimeDelta,
    pub stores: StorageConnections,
}

#[derive(Debug, Clone)]
pub struct Deps {
    pub kit: ActorKit,
    pub writer: DatabaseWriter,
    pub reader: DatabaseReader,
    pub library: LibraryClient,
    pub alert_sender: AlertSender,
}

#[derive(Debug)]
pub struct Files {
    recorder: FileRecorder,
    stores: StorageConnections,
    every: TimeDelta,
    places: Vec<PlaceWatch>,
    timer: Timer,
    /// Nothing more is to begin; seen by scans under way.
    is_stopping: Arc<AtomicBool>,
    stop_callers: Vec<oneshot::Sender<()>>,
}

impl Files {
    pub fn start(arbiter: &ArbiterHandle, config: Config, deps: Deps) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| {
            let now = deps.kit.now();
            Self {
                timer: Timer::default(),
                places: config.places.iter().map(|place| PlaceWatch::new(place, now)).collect(),
                recorder: FileRecorder { host: config.host, deps, counting: Arc::default() },
                stores: config.stores,
                every: config.every,
                is_stopping: Arc::default(),
                stop_callers: Vec::new(),
            }
        })
    }

    /// Forgets places that are watched no longer, and begins.
    fn begin_watching(&mut self, ctx: &mut Context<Self>) {
        let places = self.places.iter().map(|place| place.status.place.clone()).collect();
        self.ask(ctx, self.recorder.deps.writer.call(KeepWatchedPlaces { places }), |this, kept, ctx| {
            if let Err(err) = kept {
                log::warn!("event=places_not_kept error={err:?}");
            }
            this.scan_due(ctx);
        });
    }

    fn scan_due(&mut self, ctx: &mut Context<Self>) {
        let (now, places) = (self.now(), if self.is_stopping() { 0 } else { self.places.len() });
        for at in 0..places {
            // What is known goes along with the scan, and comes back with its end: no two scans of a place run at once.
            let Some((location, known)) = self.places[at].take_due(now) else { continue };
            let scanner = PlaceScanner {
                recorder: self.recorder.clone(),
                stores: self.stores.clone(),
                is_stopping: Arc::clone(&self.is_stopping),
            };
            let scan = async move { scanner.scan_place(&location, known).await };
            self.ask(ctx, scan, move |this, scan, ctx| this.end_scan(at, scan, ctx));
        }
        self.set_timer(ctx);
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    fn end_scan(&mut self, at: usize, scan: PlaceScan, ctx: &mut Context<Self>) {
        let now = self.now();
        if let Some(place) = self.places.get_mut(at)
            && let Some(alert) = place.end_scan(scan, now, self.every)
        {
            self.recorder.deps.alert_sender.raise(alert);
        }
        self.answer_stops();
        self.set_timer(ctx);
    }

    fn set_timer(&mut self, ctx: &mut Context<Self>) {
        let next = self.places.iter().filter_map(PlaceWatch::next_scan).min();
        self.wake_at(next.filter(|_| !self.is_stopping()), ctx);
    }

    /// Answers those who wait for the end, once no scan is under way.
    fn answer_stops(&mut self) {
        if self.places.iter().all(|place| !place.is_scanning()) {
            self.stop_callers.clear();
        }
    }

    fn record_arrived(&mut self, arrived: FileArrived, _: &mut Context<Self>) -> Reply<Self, RecordedFile> {
        let FileArrived { file, ignored } = arrived;
        let (recorder, source) = (self.recorder.clone(), FileSource::Api);
        let record = async move { recorder.record_file(ArrivedFile { file, source, ignored, seen: None }).await };
        self.reply_after(record, |_, recorded, _| recorded)
    }

    fn list_places(&mut self, _: ReadWatchedPlaces, _: &mut Context<Self>) -> Result<Arc<Vec<WatchedPlace>>> {
        Ok(Arc::new(self.places.iter().map(|place| place.status.clone()).collect()))
    }

    fn stop_files(&mut self, _: StopFiles, ctx: &mut Context<Self>) -> Reply<Self, ()> {
        let (caller, stopped) = oneshot::channel();
        self.is_stopping.store(true, Ordering::Relaxed);
        self.stop_callers.push(caller);
        self.set_timer(ctx);
        self.answer_stops();
        // Answered by dropping the sender: nothing is under way then, be it by the end or by a restart.
        self.reply_after(stopped, |_, _, _| Ok(()))
    }

    fn restart_places(&mut self) {
        let now = self.now();
        self.places.iter_mut().for_each(|place| place.restart(now));
        self.stop_callers.clear();
    }
}

handlers!(Files {
    async FileArrived => record_arrived,
    ReadWatchedPlaces => list_places,
    async StopFiles => stop_files,
});

actor!(Files { kit: recorder.deps.kit, mailbox: 4096, start: begin_watching, restart: restart_places, wake: scan_due });
