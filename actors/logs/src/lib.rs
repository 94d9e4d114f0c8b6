//! The logs actor: keeps what the commands of tasks wrote, in files of its own beside the database.
//!
//! It writes on a thread of its own and reads beside it. Its state is how much the logs of each day take, which it
//! measures at its start and every midnight: over a limit the oldest logs go.

mod clean;
mod file;
mod folder;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;

use actix::{Addr, ArbiterHandle, Context, Supervisor};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use flowlord_kernel::{ActorKit, Code, Error, KernelActor, Reply, Result, Timer, WakeUp, actor, handlers};
use flowlord_messages::logs::{AppendLog, AppendedLog, LogText, ReadLog};

use crate::folder::DaySizes;

/// What logs may take.
#[derive(Debug, Clone)]
pub struct Config {
    pub folder: PathBuf,
    /// How long the logs of a day are kept.
    pub keep: TimeDelta,
    /// How much of one log is kept, in bytes: its end.
    pub max_task: u64,
    /// How much all logs take at most, in bytes. Those of one day may take half of it, so that it doesn't cost all others.
    pub max_total: u64,
}

#[derive(Debug)]
pub struct TaskLogs {
    config: Config,
    kit: ActorKit,
    timer: Timer,
    sizes: DaySizes,
}

impl TaskLogs {
    pub fn start(arbiter: &ArbiterHandle, config: Config, kit: ActorKit) -> Addr<Self> {
        Supervisor::start_in_arbiter(arbiter, move |_| Self {
            config,
            kit,
            timer: Timer::default(),
            sizes: DaySizes::new(),
        })
    }

    /// Removes what is kept no longer, and measures the rest beside the actor.
    fn sweep(&mut self, now: DateTime<Utc>, ctx: &mut Context<Self>) {
        let root = self.config.folder.clone();
        let kept_from = now.checked_sub_signed(self.config.keep).unwrap_or(DateTime::<Utc>::MIN_UTC).date_naive();
        let swept = off_thread(move || folder::sweep_folder(&root, kept_from));
        self.ask(ctx, swept, move |this, swept, ctx| {
            match swept {
                // Pieces that came meanwhile are counted next time.
                Ok(sizes) => this.sizes = sizes,
                Err(err) => log::warn!("event=logs_not_measured error={err:?}"),
            }
            this.keep_limits(now.date_naive());
            let tomorrow = now.date_naive().checked_add_days(Days::new(1)).unwrap_or(now.date_naive());
            this.wake_at(Some(tomorrow.and_time(NaiveTime::MIN).and_utc()), ctx);
        });
    }

    fn append_log(&mut self, append: AppendLog, _: &mut Context<Self>) -> Result<AppendedLog> {
        let AppendLog { uid, offset, piece } = append;
        let (path, day) = (folder::log_path(&self.config.folder, uid), folder::day_of(uid));
        let before = folder::disk_bytes(&path);
        if before == 0 && offset == 0 && !piece.is_empty() {
            // The first piece of a day makes its folder.
            path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(|err| not_written(&err))?;
        }
        let appended =
            file::append_piece(&path, offset, &piece, self.config.max_task).map_err(|err| not_written(&err))?;
        let size = self.sizes.entry(day).or_default();
        *size = (*size + folder::disk_bytes(&path)).saturating_sub(before);
        self.keep_limits(day);
        Ok(appended)
    }

    /// Removes the oldest logs of a day that has too many, and of all.
    fn keep_limits(&mut self, day: NaiveDate) {
        let (most, most_of_day) = (self.config.max_total, self.config.max_total / 2);
        let of_day = self.sizes.get(&day).copied().unwrap_or_default();
        if of_day > most_of_day {
            self.remove_oldest(day, of_day - room_after(most_of_day));
        }
        let mut excess = self.sizes.values().sum::<u64>();
        excess = if excess > most { excess - room_after(most) } else { 0 };
        while excess > 0
            && let Some((&day, &size)) = self.sizes.first_key_value()
        {
            self.remove_oldest(day, excess);
            excess = excess.saturating_sub(size);
        }
    }

    fn remove_oldest(&mut self, day: NaiveDate, excess: u64) {
        let size = self.sizes.remove(&day).unwrap_or_default();
        match folder::remove_oldest(&self.config.folder, day, excess) {
            Ok(free) => {
                log::info!("event=logs_removed day={day} bytes={free} reason=\"over logs.max_total\"");
                let rest = size.saturating_sub(free);
                self.sizes.extend((rest > 0).then_some((day, rest)));
            }
            // Measured again at midnight: until then it doesn't stand in the way of others.
            Err(err) => log::warn!("event=logs_not_removed day={day} error={err:?}"),
        }
    }

    fn read_log(&mut self, read: ReadLog, _: &mut Context<Self>) -> Reply<Self, Option<LogText>> {
        let ReadLog { uid, after, is_followed } = read;
        let (path, most) = (folder::log_path(&self.config.folder, uid), self.config.max_task);
        let part = off_thread(move || file::read_part(&path, after, is_followed, most));
        self.reply_after(part, |_, part, _| {
            part.map_err(|err| Error::new(Code::Storage, format!("the log can't be read: {err}")))
        })
    }

    fn forget_sizes(&mut self) {
        self.sizes.clear();
    }
}

/// A twentieth less than a limit: then the oldest logs are looked for once in a while, not for each piece.
fn room_after(most: u64) -> u64 {
    most - most / 20
}

fn not_written(err: &io::Error) -> Error {
    Error::new(Code::Storage, format!("the log can't be written: {err}"))
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

handlers!(TaskLogs {
    AppendLog => append_log,
    async ReadLog => read_log,
});

actor!(TaskLogs { kit: kit, mailbox: 256, start: sweep(now), restart: forget_sizes, wake: sweep(now) });
