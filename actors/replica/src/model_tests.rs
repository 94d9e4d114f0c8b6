//! Nodes at one log in any order of steps, each of which may stand still between any two requests: whoever writes next
//! leads, and nobody else.

use proptest::prelude::*;

use super::*;
use crate::append::AppendOutcome;
use crate::entry::{EntryContent, LogEntry};
use crate::tests::{beat, folder_log, holding, now, own};

const NODES: [&str; 3] = ["a", "b", "c"];

/// How many of the newest entries stay when old ones are removed.
const KEPT: usize = 2;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A leader appends.
    Append(usize),
    /// A follower reads the next entry.
    Poll(usize),
    /// A follower that hears nothing makes the next request of its takeover.
    TakeOver(usize),
    /// A node is killed, and starts.
    Restart(usize),
    /// What no term begins with is removed, but for the newest.
    Prune,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let node = 0..NODES.len();
    let step = prop_oneof![
        6 => node.clone().prop_map(Step::Append),
        4 => node.clone().prop_map(Step::Poll),
        6 => node.clone().prop_map(Step::TakeOver),
        1 => node.prop_map(Step::Restart),
        1 => Just(Step::Prune),
    ];
    prop::collection::vec(step, 1..80)
}

/// Where a takeover stands.
#[derive(Debug, Clone)]
enum Attempt {
    Write(LogEntry),
    Check,
}

#[derive(Debug, Default)]
struct ModelNode {
    position: u64,
    term: u64,
    /// The term that it leads in, and its newest entry.
    lead: Option<(u64, u64)>,
    attempt: Option<Attempt>,
}

/// An entry that its writer takes for the newest of all: from then on it acknowledges.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Won {
    number: u64,
    term: u64,
    node: usize,
}

struct Model {
    log: ClusterLog,
    _folder: tempfile::TempDir,
    nodes: [ModelNode; NODES.len()],
    won: Vec<Won>,
    /// Whether a takeover looks for newer entries once it has written.
    checks_last: bool,
}

impl Model {
    async fn run(steps: &[Step], checks_last: bool) -> Vec<Won> {
        let (folder, log) = folder_log();
        let mut model = Self { log, _folder: folder, nodes: Default::default(), won: Vec::new(), checks_last };
        model.restart(0).await;
        for step in steps {
            match *step {
                Step::Append(node) => model.append(node).await,
                Step::Poll(node) => model.poll(node).await,
                Step::TakeOver(node) => model.take_over(node).await,
                Step::Restart(node) => model.restart(node).await,
                Step::Prune => model.prune().await,
            }
        }
        model.won
    }

    fn win(&mut self, node: usize, term: u64, number: u64) {
        self.nodes[node].lead = Some((term, number));
        self.won.push(Won { number, term, node });
    }

    async fn append(&mut self, node: usize) {
        let Some((term, tail)) = self.nodes[node].lead else { return };
        match self.log.append(tail + 1, &beat(NODES[node], term)).await.unwrap() {
            AppendOutcome::Done => self.win(node, term, tail + 1),
            AppendOutcome::Taken(_) => self.nodes[node] = ModelNode { position: tail, term, ..ModelNode::default() },
        }
    }

    async fn poll(&mut self, nth: usize) {
        if self.nodes[nth].lead.is_some() || self.nodes[nth].attempt.is_some() {
            return;
        }
        let position = self.nodes[nth].position;
        match self.log.read(position + 1).await.unwrap() {
            Some(entry) => (self.nodes[nth].position, self.nodes[nth].term) = (position + 1, entry.term),
            None => self.pass_hole(nth).await,
        }
    }

    async fn pass_hole(&mut self, nth: usize) {
        if let Some(next) = self.log.next_after(self.nodes[nth].position).await.unwrap() {
            self.nodes[nth].position = next - 1;
        }
    }

    /// As a follower does, in steps: it looks for newer entries, writes, and looks again.
    async fn take_over(&mut self, nth: usize) {
        let ModelNode { position, term, lead, attempt } = &self.nodes[nth];
        let (number, term) = (position + 1, term + 1);
        if lead.is_some() || term == 1 {
            return;
        }
        let is_newest = self.log.next_after(number - 1).await.unwrap().is_none();
        self.nodes[nth].attempt = match attempt.clone() {
            None if is_newest => Some(Attempt::Write(own(NODES[nth]).term_entry(term, now(), None))),
            None => {
                self.pass_hole(nth).await;
                None
            }
            Some(Attempt::Write(entry)) => {
                let is_written = self.log.append(number, &entry).await.unwrap() == AppendOutcome::Done;
                is_written.then_some(Attempt::Check)
            }
            Some(Attempt::Check) => {
                if !self.checks_last || self.log.next_after(number).await.unwrap().is_none() {
                    self.win(nth, term, number);
                }
                None
            }
        };
    }

    async fn restart(&mut self, nth: usize) {
        let ModelNode { position, term, .. } = self.nodes[nth];
        self.nodes[nth] = ModelNode { position, term, ..ModelNode::default() };
        let joined = join(&self.log, &own(NODES[nth]), nth > 0, &holding(0), now()).await.unwrap();
        if let JoinedRole::Leader(Lead { term, tail, .. }) = joined {
            self.win(nth, term, tail);
        }
    }

    async fn prune(&mut self) {
        let mut numbers = Vec::new();
        while let Some(next) = self.log.next_after(numbers.last().copied().unwrap_or_default()).await.unwrap() {
            numbers.push(next);
        }
        numbers.truncate(numbers.len().saturating_sub(KEPT));
        for number in numbers {
            let entry = self.log.read(number).await.unwrap();
            if entry.is_some_and(|entry| !matches!(entry.content, EntryContent::Term { .. })) {
                self.log.remove(&[number]).await.unwrap();
            }
        }
    }
}

/// What breaks the rule that each acknowledgement follows all before it.
fn violation(won: &[Won]) -> Option<String> {
    let mut pairs = won.iter().zip(won.iter().skip(1));
    let broken = pairs.find(|(before, after)| {
        let is_later = after.number > before.number && after.term >= before.term;
        !is_later || after.term == before.term && after.node != before.node
    });
    broken.map(|(before, after)| format!("{after:?} after {before:?}"))
}

fn run(steps: &[Step], checks_last: bool) -> Vec<Won> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(Model::run(steps, checks_last))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whoever_acknowledges_is_the_only_one(steps in steps()) {
        let won = run(&steps, true);
        prop_assert!(!won.is_empty());
        prop_assert_eq!(violation(&won), None, "{:?}", won);
    }
}

/// The rule that such a history needs, without which it breaks.
#[test]
fn who_wrote_behind_entries_that_were_removed_must_look_again() {
    let (leader, late) = (0, 1);
    let mut steps = vec![Step::Poll(late), Step::TakeOver(late)];
    steps.extend([Step::Append(leader); 6]);
    steps.push(Step::Prune);
    // It writes the number that it planned, which is free again.
    steps.extend([Step::TakeOver(late), Step::TakeOver(late), Step::Append(leader)]);
    assert_eq!(violation(&run(&steps, true)), None);
    let naive = run(&steps, false);
    assert!(violation(&naive).is_some(), "{naive:?}");
}
