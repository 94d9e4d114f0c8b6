//! The output of a command, on its way to the service while the command runs. A task never waits for its log, nor fails
//! for it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::rc::Rc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::backoff::Backoff;
use super::client::{ApiClient, ApiRefusal, LogAnswer};

/// Output is sent once it is so old, or so much.
const INTERVAL: Duration = Duration::from_secs(1);
const BATCH_BYTES: usize = 32 * 1024;

/// Of output that the service doesn't take yet so much is kept from each end.
const KEPT_BYTES: usize = 256 * 1024;

/// How long a result waits for the rest of its log.
const LAST_PIECE: Duration = Duration::from_secs(5);

/// A piece that belongs elsewhere so often belongs nowhere.
const MAX_MOVES: u8 = 5;

/// The log of a slot's current task. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct TaskLog(Rc<SharedLog>);

#[derive(Debug)]
struct SharedLog {
    state: Cell<LogState>,
    waiting: RefCell<WaitingOutput>,
    changed: Notify,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LogState {
    /// The service takes no logs, or nobody wants any.
    Off,
    NoTask,
    Open,
    /// The command has ended: what is left is sent.
    Closing,
}

impl TaskLog {
    pub(crate) fn new(is_wanted: bool) -> Self {
        let state = Cell::new(if is_wanted { LogState::NoTask } else { LogState::Off });
        Self(Rc::new(SharedLog { state, waiting: RefCell::default(), changed: Notify::new() }))
    }

    /// Takes what the command wrote; nothing while there is no task.
    pub(crate) fn take(&self, bytes: &[u8]) {
        if self.0.state.get() == LogState::Open {
            self.0.waiting.borrow_mut().push(bytes);
            self.0.changed.notify_one();
        }
    }

    /// Does the work of a task, and sends what it writes beside it; the rest of it before this ends.
    pub(crate) async fn send_while<T>(&self, client: &ApiClient, lease: &str, work: impl Future<Output = T>) -> T {
        // In a box: it is large, and would be here once for each place that waits for it.
        let mut work = Box::pin(work);
        if self.0.state.get() == LogState::Off {
            return work.await;
        }
        self.0.waiting.take();
        self.0.state.set(LogState::Open);
        let sending = self.send_pieces(client, lease);
        tokio::pin!(sending);
        let done = tokio::select! {
            done = &mut work => done,
            () = &mut sending => return work.await,
        };
        if self.0.state.get() == LogState::Open {
            self.0.state.set(LogState::Closing);
        }
        self.0.changed.notify_one();
        if timeout(LAST_PIECE, sending).await.is_err() {
            log::warn!("event=log_cut lease={lease} detail=\"the service didn't take the end of the log in time\"");
        }
        if self.0.state.get() == LogState::Closing {
            self.0.state.set(LogState::NoTask);
        }
        done
    }

    /// Sends pieces until the command has ended, or the service takes none.
    async fn send_pieces(&self, client: &ApiClient, lease: &str) {
        let mut offset = 0;
        while let Some(piece) = self.next_piece().await {
            offset = match send_piece(client, lease, offset, piece).await {
                Ok(offset) => offset,
                Err(ApiRefusal::Never(detail)) => {
                    // An older service, or a token that may not: asking again for each task helps nobody.
                    log::warn!("event=logs_refused lease={lease} detail={detail:?}");
                    return self.0.state.set(LogState::Off);
                }
                // The heartbeat says what it means.
                Err(ApiRefusal::Lost(_) | ApiRefusal::Later { .. }) => return self.0.state.set(LogState::NoTask),
            };
        }
    }

    /// What is to be sent next; none at the end.
    async fn next_piece(&self) -> Option<Vec<u8>> {
        self.until(|bytes| bytes > 0).await;
        let _ = timeout(INTERVAL, self.until(|bytes| bytes >= BATCH_BYTES)).await;
        let piece = self.0.waiting.borrow_mut().take();
        (!piece.is_empty()).then_some(piece)
    }

    /// Waits until so much is there, or the command has ended.
    async fn until(&self, is_enough: impl Fn(usize) -> bool) {
        while self.0.state.get() == LogState::Open && !is_enough(self.0.waiting.borrow().len()) {
            self.0.changed.notified().await;
        }
    }
}

/// Sends a piece until the service has it. Answers where the next one goes.
async fn send_piece(client: &ApiClient, lease: &str, mut offset: u64, mut piece: Vec<u8>) -> Result<u64, ApiRefusal> {
    let (mut backoff, mut may_be_there, mut moves) = (Backoff::new(), false, 0);
    loop {
        let packed = pack(&piece).map_err(|err| ApiRefusal::Never(err.to_string()))?;
        match client.append_log(lease, offset, packed).await {
            Ok(LogAnswer::Written(next)) => return Ok(next),
            Ok(LogAnswer::Elsewhere(at)) => {
                // The answer to an earlier try may have got lost: what is there already isn't sent twice.
                let there = at.checked_sub(offset).and_then(|there| usize::try_from(there).ok());
                if let Some(there) = there.filter(|there| may_be_there && *there <= piece.len()) {
                    piece.drain(..there);
                }
                (offset, moves) = (at, moves + 1);
                if piece.is_empty() || moves == MAX_MOVES {
                    return Ok(offset);
                }
            }
            Err(ApiRefusal::Later { detail, after }) => {
                let wait = backoff.wait(after);
                log::debug!("event=log_waits lease={lease} retry_in={wait:?} detail={detail:?}");
                may_be_there = true;
                sleep(wait).await;
            }
            Err(refusal) => return Err(refusal),
        }
    }
}

fn pack(piece: &[u8]) -> io::Result<Vec<u8>> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(piece)?;
    packed.finish()
}

/// Output that waits to be sent: all of it, or where that is too much its beginning and its end.
#[derive(Debug, Default)]
struct WaitingOutput {
    beginning: Vec<u8>,
    end: VecDeque<u8>,
    /// How many bytes between the two were left out.
    left_out: usize,
}

impl WaitingOutput {
    fn push(&mut self, bytes: &[u8]) {
        let (first, rest) = bytes.split_at(bytes.len().min(KEPT_BYTES - self.beginning.len()));
        self.beginning.extend_from_slice(first);
        self.end.extend(rest);
        let excess = self.end.len().saturating_sub(KEPT_BYTES);
        self.end.drain(..excess);
        self.left_out += excess;
    }

    fn len(&self) -> usize {
        self.beginning.len() + self.end.len()
    }

    fn take(&mut self) -> Vec<u8> {
        let Self { mut beginning, end, left_out } = std::mem::take(self);
        if left_out > 0 {
            beginning.extend(format!("\n[flowlord work left out {left_out} bytes]\n").bytes());
        }
        beginning.extend(end);
        beginning
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_too_much_output_the_middle_is_left_out() {
        let mut waiting = WaitingOutput::default();
        for _ in 0..10 * 1024 {
            waiting.push(&[b'x'; 1024]);
            assert!(waiting.len() <= 2 * KEPT_BYTES && waiting.end.capacity() <= 4 * KEPT_BYTES);
        }
        waiting.push(b"end");
        let piece = String::from_utf8(waiting.take()).unwrap();
        let left_out = 10 * 1024 * 1024 + 3 - 2 * KEPT_BYTES;
        assert!(piece[KEPT_BYTES..].starts_with(&format!("\n[flowlord work left out {left_out} bytes]\nx")));
        assert!(piece.ends_with("xend") && piece.len() < 2 * KEPT_BYTES + 100);
        assert!(waiting.take().is_empty());
    }

    proptest! {
        #[test]
        fn what_fits_stays_as_it_is(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50_000), 0..12)) {
            let all = pieces.concat();
            let mut waiting = WaitingOutput::default();
            pieces.iter().for_each(|piece| waiting.push(piece));
            prop_assert_eq!(waiting.len() + waiting.left_out, all.len());
            let piece = waiting.take();
            let kept = all.len().min(KEPT_BYTES);
            prop_assert_eq!(&piece[..kept], &all[..kept]);
            prop_assert_eq!(&piece[piece.len() - kept..], &all[all.len() - kept..]);
        }
    }
}
