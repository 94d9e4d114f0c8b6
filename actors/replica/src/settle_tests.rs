//! Two nodes append to a log that delays, loses answers, repeats, and refuses for what it hasn't stored: whoever is told
//! that an entry is stored, or that its number is another's, is told the truth.

use std::cell::RefCell;

use bytes::Bytes;
use flowlord_storage::{Error, Result};
use proptest::prelude::*;

use crate::append::{AppendOnce, AppendOutcome, TryOutcome, settle_append};
use crate::entry::LogEntry;
use crate::tests::{beat, own};

/// How the log treats one request.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// It answers what is so.
    Honest,
    /// It stores what it can, and its answer is lost.
    AnswerLost,
    /// It proposes the entry, which may be stored later, or never; nothing is answered.
    Delayed,
    /// It refuses, though nothing is in the way.
    FalseRefusal,
    /// What was proposed last is stored first.
    Late,
    /// What was proposed last is dropped, as by servers that lost their majority.
    Dropped,
    /// A read finds nothing, as of a server that is behind, or doesn't come through.
    Blind,
}

fn fates() -> impl Strategy<Value = Vec<(usize, Fate)>> {
    let fate = prop_oneof![
        3 => Just(Fate::Honest),
        2 => Just(Fate::AnswerLost),
        2 => Just(Fate::Delayed),
        2 => Just(Fate::FalseRefusal),
        2 => Just(Fate::Late),
        1 => Just(Fate::Dropped),
        1 => Just(Fate::Blind),
    ];
    prop::collection::vec((0..NODES.len(), fate), 1..40)
}

const NODES: [&str; 2] = ["a", "b"];

/// A log whose entries are stored for good once they are, in the order of their numbers, which begin at 1.
#[derive(Default)]
struct LyingLog {
    stored: Vec<LogEntry>,
    /// On its way, not stored.
    proposed: Vec<(u64, LogEntry)>,
}

impl LyingLog {
    fn store(&mut self, number: u64, entry: &LogEntry) -> bool {
        let is_next = number == self.stored.len() as u64 + 1;
        if is_next {
            self.stored.push(entry.clone());
        }
        is_next
    }

    fn store_proposed(&mut self) {
        for (number, entry) in std::mem::take(&mut self.proposed) {
            // Each once, where its number is still free.
            self.store(number, &entry);
        }
    }
}

struct OneTry<'a> {
    log: &'a RefCell<LyingLog>,
    fate: Fate,
    /// A refusal is taken for absence, and so the number for another's.
    is_naive: bool,
}

impl AppendOnce for OneTry<'_> {
    async fn try_append(&self, number: u64, entry: &LogEntry, _: &Bytes) -> Result<TryOutcome> {
        let mut log = self.log.borrow_mut();
        let refused = Ok(TryOutcome::Refused("wrong last sequence".to_owned()));
        let lost = Err(Error::Location("no answer".to_owned()));
        match self.fate {
            Fate::Late => log.store_proposed(),
            Fate::Dropped => log.proposed.clear(),
            _ => {}
        }
        match self.fate {
            Fate::FalseRefusal => refused,
            Fate::Delayed => {
                log.proposed.push((number, entry.clone()));
                lost
            }
            Fate::AnswerLost => {
                log.store(number, entry);
                lost
            }
            // What is proposed is in the way, though it isn't stored.
            _ if log.proposed.iter().any(|(proposed, _)| *proposed == number) => refused,
            _ if log.store(number, entry) => Ok(TryOutcome::Stored),
            _ => refused,
        }
    }

    async fn read_stored(&self, number: u64) -> Result<Option<LogEntry>> {
        let log = self.log.borrow();
        let found = usize::try_from(number - 1).ok().and_then(|nth| log.stored.get(nth)).cloned();
        match found {
            None if self.is_naive => Ok(Some(beat("whoever it is", 0))),
            _ if matches!(self.fate, Fate::Blind) => Ok(None),
            found => Ok(found),
        }
    }
}

/// Each node appends entry after entry, the same again until it is certain. Answers what was said wrongly.
async fn run(fates: &[(usize, Fate)], is_naive: bool) -> Option<String> {
    let log = RefCell::new(LyingLog::default());
    let mut tails = [0_u64; NODES.len()];
    let mut pending: [Option<LogEntry>; NODES.len()] = Default::default();
    let mut said = Vec::new();
    for (at, (node, fate)) in fates.iter().enumerate() {
        let number = tails[*node] + 1;
        let entry = pending[*node].get_or_insert_with(|| beat(NODES[*node], at as u64)).clone();
        let one_try = OneTry { log: &log, fate: *fate, is_naive };
        if let Ok(outcome) = settle_append(&one_try, number, &entry, &Bytes::new()).await {
            said.push((number, entry, outcome));
            pending[*node] = None;
            tails[*node] = number;
        }
    }
    log.borrow_mut().store_proposed();
    let stored = log.into_inner().stored;
    said.into_iter().find_map(|(number, entry, outcome)| {
        let found = usize::try_from(number - 1).ok().and_then(|nth| stored.get(nth));
        let is_own = found == Some(&entry);
        let is_true = match &outcome {
            AppendOutcome::Done => is_own,
            AppendOutcome::Taken(other) => !is_own && found == Some(other),
        };
        (!is_true).then(|| format!("entry {number} of {:?}: {outcome:?}, and the log has {found:?}", entry.node))
    })
}

fn violation(fates: &[(usize, Fate)], is_naive: bool) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(run(fates, is_naive))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_is_said_of_an_append_is_so(fates in fates()) {
        prop_assert_eq!(violation(&fates, false), None);
    }
}

/// The rule without which it breaks.
#[test]
fn a_refusal_is_no_proof_that_the_entry_is_not_there() {
    let history = [(0, Fate::Delayed), (0, Fate::Honest), (1, Fate::Late)];
    assert_eq!(violation(&history, false), None);
    let said = violation(&history, true).expect("the naive rule is wrong");
    assert!(said.contains(&own("a").address.node), "{said}");
}
