//! The library actor: which workflows count.
//!
//! It scans the files at its start, every `refresh`, when asked, and soon after a local one changed. A file that
//! doesn't load keeps its last good version, also over a restart: both are rows. So do all while a storage is away.

pub mod calendars;
mod catalog;
pub mod files;
mod findings;
pub mod metafiles;
mod row_problems;
mod scan;
pub mod source;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use actix::{Addr, ArbiterHandle, Context, Supervisor};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use flowlord_domain::calendar::{Calendars, with_calendars};
use flowlord_domain::template::MetaRow;
use flowlord_kernel::{ActorKit, Code, Error, KernelActor, LatePort, Reply, Result, Timer, WakeUp, actor, handlers};
use flowlord_messages::clients::{DatabaseReader, DatabaseWriter};
use flowlord_messages::workflows::{
    LoadedWorkflows, ReadLoadedWorkflows, ReadMetaRows, ReloadReport, ReloadWorkflows, WorkflowsChanged,
};
use flowlord_storage::FolderWatch;
use tokio::sync::{Notify, Semaphore, oneshot};

use crate::catalog::WorkflowCatalog;
use crate::metafiles::MetaFiles;
use crate::row_problems::{RowProblems, with_row_problems};
use crate::scan::{KnownFiles, ScanOutcome, scan_files};

/// After a failed scan, when to try again.
const RETRY_DELAY: TimeDelta = TimeDelta::seconds(1);

/// When to read a place again that couldn't be read.
const AWAY_RETRY_DELAY: TimeDelta = TimeDelta::seconds(30);

/// How long it is quiet after a change before the files are read: a save is many changes, and is read whole.
const QUIET: TimeDelta = TimeDelta::milliseconds(200);

/// How long changes may go on before the files are read anyway.
const MAX_DELAY: TimeDelta = TimeDelta::seconds(2);

const MAX_META_FILES: usize = 2;

#[derive(Debug, Clone)]
pub struct Config {
    /// The workflow files, a file or a folder, and where meta files may be.
    pub files: MetaFiles,
    pub refresh: TimeDelta,
    pub watch: bool,
    /// The zone of cron expressions that name none.
    pub zone: Tz,
}

#[derive(Debug, Clone)]
pub struct Deps {
    pub kit: ActorKit,
    pub writer: DatabaseWriter,
    pub reader: DatabaseReader,
    /// The actors that are sent the workflows after each scan.
    pub changed: Vec<LatePort<WorkflowsChanged>>,
}

type ReloadCallers = Vec<oneshot::Sender<Result<ReloadReport>>>;

#[derive(Debug)]
pub struct Library {
    config: Config,
    deps: Deps,
    /// None until the first scan is done; callers wait until then.
    current: Option<LoadedWorkflows>,
    first_callers: Vec<oneshot::Sender<Result<LoadedWorkflows>>>,
    catalog: Option<WorkflowCatalog>,
    row_problems: RowProblems,
    calendars: Calendars,
    is_scanning: bool,
    /// Callers of a reload while a scan was under way: they wait for the next one.
    reload_callers: ReloadCallers,
    timer: Timer,
    next_scan: Option<DateTime<Utc>>,
    watch: Option<FolderWatch>,
    /// Notified by the watch, from its own thread.
    changes: Arc<Notify>,
    /// The first change that no scan has seen yet, and when that scan is due.
    changed: Option<(DateTime<Utc>, DateTime<Utc>)>,
    meta_file_permits: Arc<Semaphore>,
}

impl Library {
    pub fn start(arbiter: &ArbiterHandle, config: Config, deps: Deps) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            timer: Timer::default(),
            config,
            deps,
            current: None,
            first_callers: Vec::new(),
            catalog: None,
            row_problems: RowProblems::new(),
            calendars: Calendars::new(),
            is_scanning: false,
            reload_callers: Vec::new(),
            next_scan: None,
            watch: None,
            changes: Arc::default(),
            changed: None,
            meta_file_permits: Arc::new(Semaphore::new(MAX_META_FILES)),
        })
    }

    fn start_scan(&mut self, callers: ReloadCallers, ctx: &mut Context<Self>) {
        self.is_scanning = true;
        // What changed up to now is read by this scan; what changes from here on asks for another.
        self.changed = None;
        // It goes along to a thread that may block: to watch anew means to walk the folders.
        let (watch, changes) = (self.watch.take(), Arc::clone(&self.changes));
        let known = KnownFiles { catalog: self.catalog.clone(), calendars: self.calendars.clone() };
        let scan = scan_files(self.config.clone(), self.deps.clone(), known, watch, changes);
        self.ask(ctx, scan, |this, outcome, ctx| this.end_scan(outcome, callers, ctx));
    }

    fn end_scan(&mut self, outcome: Result<ScanOutcome>, callers: ReloadCallers, ctx: &mut Context<Self>) {
        self.is_scanning = false;
        let now = self.now();
        let (answer, next_scan) = match outcome {
            Ok(outcome) => {
                let refresh = self.config.refresh;
                let next_scan = now + if outcome.is_away { refresh.min(AWAY_RETRY_DELAY) } else { refresh };
                (Ok(self.replace_catalog(outcome, now, next_scan)), next_scan)
            }
            Err(err) => {
                log::error!("event=workflows_not_loaded error={err:?}");
                // Nobody knows what was saved: the next scan compares with what was.
                self.catalog = None;
                (Err(err), now + RETRY_DELAY)
            }
        };
        self.next_scan = Some(next_scan);
        self.set_timer(ctx);
        for caller in callers {
            let _nobody_waits_any_more = caller.send(answer.clone());
        }
        // A scan under way may have read a file before it was saved, so those who asked meanwhile get one of their own.
        if !self.reload_callers.is_empty() {
            let callers = std::mem::take(&mut self.reload_callers);
            self.start_scan(callers, ctx);
        }
    }

    fn replace_catalog(&mut self, outcome: ScanOutcome, now: DateTime<Utc>, next_scan: DateTime<Utc>) -> ReloadReport {
        let ScanOutcome { catalog, reloaded, row_problems, calendars, watch, .. } = outcome;
        self.watch = watch;
        let ReloadReport { added, changed, removed, broken } = &reloaded;
        let has_same_files = added.is_empty() && changed.is_empty() && removed.is_empty();
        let is_same = has_same_files && self.row_problems == row_problems && self.calendars == calendars;
        // An actor that holds the same workflows may keep what it made of them. After a scan that failed, or a restart,
        // what was loaded isn't what was compared with.
        let workflows = match self.current.take() {
            Some(current) if is_same && self.catalog.is_some() => current.workflows,
            _ => {
                let workflows = with_row_problems(catalog.workflows(), &row_problems);
                let workflows = Arc::new(with_calendars(workflows, &calendars));
                let (files, phases) = (workflows.files().len(), workflows.phases().count());
                log::info!(
                    "event=workflows_loaded files={files} phases={phases} added={} changed={changed:?} \
                     removed={removed:?} broken={}",
                    added.len(),
                    broken.len()
                );
                workflows
            }
        };
        if workflows.files().is_empty() {
            log::error!("event=no_workflows path={:?}", self.config.files.root.to_string());
        }
        for changed in &self.deps.changed {
            changed.hint(WorkflowsChanged { workflows: Arc::clone(&workflows) });
        }
        let broken = Arc::new(broken.clone());
        let current = LoadedWorkflows { workflows, scanned_at: now, next_scan, broken };
        for caller in self.first_callers.drain(..) {
            let _nobody_waits_any_more = caller.send(Ok(current.clone()));
        }
        self.current = Some(current);
        self.catalog = Some(catalog);
        self.row_problems = row_problems;
        self.calendars = calendars;
        reloaded
    }

    /// At the next regular scan, or sooner where something changed.
    fn set_timer(&mut self, ctx: &mut Context<Self>) {
        let due = self.changed.map(|(_, due)| due);
        self.wake_at(self.next_scan.into_iter().chain(due).min(), ctx);
    }

    /// Waits until the watch notifies of the next change; many changes meanwhile are one.
    fn await_change(&self, ctx: &mut Context<Self>) {
        let changes = Arc::clone(&self.changes);
        self.follow(ctx, async move { changes.notified().await }, |this, (), ctx| {
            this.await_change(ctx);
            let now = this.now();
            let first = this.changed.map_or(now, |(first, _)| first);
            this.changed = Some((first, (now + QUIET).min(first + MAX_DELAY)));
            if !this.is_scanning {
                this.set_timer(ctx);
            }
        });
    }

    fn reload_files(&mut self, _: ReloadWorkflows, ctx: &mut Context<Self>) -> Reply<Self, ReloadReport> {
        let (caller, answer) = oneshot::channel();
        if self.is_scanning {
            self.reload_callers.push(caller);
        } else {
            self.start_scan(vec![caller], ctx);
        }
        self.reply_after(answer, |_, answer, _| answer.unwrap_or_else(|_| Err(stopping_error())))
    }

    fn answer_current(&mut self, _: ReadLoadedWorkflows, _: &mut Context<Self>) -> Reply<Self, LoadedWorkflows> {
        if let Some(current) = self.current.clone() {
            return Box::pin(actix::fut::ready(Ok(current)));
        }
        let (caller, answer) = oneshot::channel();
        self.first_callers.push(caller);
        self.reply_after(answer, |_, answer, _| answer.unwrap_or_else(|_| Err(stopping_error())))
    }

    fn read_meta_rows(&mut self, ask: ReadMetaRows, _: &mut Context<Self>) -> Reply<Self, Arc<Vec<MetaRow>>> {
        let (files, permits) = (self.config.files.clone(), Arc::clone(&self.meta_file_permits));
        let read = async move {
            // Each may hold 64 MiB of rows in memory.
            let _permit = permits.acquire().await;
            files.read_rows(&ask.path).await
        };
        self.reply_after(read, |_, rows, _| rows)
    }

    fn start_watching(&mut self, ctx: &mut Context<Self>) {
        self.await_change(ctx);
        self.start_scan(Vec::new(), ctx);
    }

    fn forget_scan(&mut self) {
        self.catalog = None;
        self.is_scanning = false;
    }

    fn scan_if_idle(&mut self, ctx: &mut Context<Self>) {
        if !self.is_scanning {
            self.start_scan(Vec::new(), ctx);
        }
    }
}

fn stopping_error() -> Error {
    Error::new(Code::Stopping, "the library is stopping or restarting")
}

handlers!(Library {
    async ReloadWorkflows => reload_files,
    async ReadLoadedWorkflows => answer_current,
    async ReadMetaRows => read_meta_rows,
});

actor!(Library { kit: deps.kit, mailbox: 2048, start: start_watching, restart: forget_scan, wake: scan_if_idle });
