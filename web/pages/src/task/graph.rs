//! A chain, drawn: what followed from what, from left to right.

use std::collections::{HashMap, HashSet};

use askama::filters::HtmlSafe;

use crate::prelude::*;
use crate::rows::status_and_class;

/// A node's place is a cell of this size, and the node is smaller by the gaps.
const CELL: (u32, u32) = (216, 54);
const NODE: (u32, u32) = (176, 40);
const MARGIN: u32 = 6;
/// How many attempts are drawn; the list below the drawing goes further.
const DRAWN: usize = 80;

#[derive(Template)]
#[template(path = "parts/graph.html")]
pub(super) struct ChainGraph {
    width: u32,
    height: u32,
    nodes: Vec<ChainNode>,
    edges: Vec<ChainEdge>,
    left_out: usize,
}

// It escapes what it holds itself.
impl HtmlSafe for ChainGraph {}

struct ChainNode {
    uid: Uid,
    x: u32,
    y: u32,
    class: &'static str,
    name: String,
    sub: String,
    current: bool,
}

/// A line from an attempt to one that followed.
struct ChainEdge {
    path: String,
    /// Whether the same task was tried again.
    again: bool,
}

impl ChainGraph {
    /// Of a chain, oldest first, which has `more` attempts. `current` is the one that is looked at.
    pub(super) fn new(chain: &[Attempt], current: Uid, more: usize) -> Self {
        let (drawn, left_out) = (&chain[..chain.len().min(DRAWN)], chain.len().saturating_sub(DRAWN) + more);
        let corners = chain_corners(drawn);
        let right = corners.values().map(|(x, _)| *x).max().unwrap_or_default();
        let bottom = corners.values().map(|(_, y)| *y).max().unwrap_or_default();
        Self {
            width: right + NODE.0 + MARGIN,
            height: bottom + NODE.1 + MARGIN,
            nodes: drawn
                .iter()
                .filter_map(|task| Some(ChainNode::new(task, *corners.get(&task.uid)?, task.uid == current)))
                .collect(),
            edges: drawn.iter().filter_map(|task| ChainEdge::to(task, drawn, &corners)).collect(),
            left_out,
        }
    }

    pub(super) fn is_worth_it(&self) -> bool {
        self.nodes.len() > 1
    }
}

/// Column and row of each attempt: a column to the right of what it followed from, and the first that followed in
/// the same row.
fn chain_places(chain: &[Attempt]) -> HashMap<Uid, (u32, u32)> {
    let known: HashSet<Uid> = chain.iter().map(|task| task.uid).collect();
    let mut children: HashMap<Option<Uid>, Vec<Uid>> = HashMap::new();
    for task in chain {
        // A parent is always older: there are no circles.
        let parent = task.parent.filter(|parent| *parent < task.uid && known.contains(parent));
        children.entry(parent).or_default().push(task.uid);
    }
    let (mut places, mut next_row) = (HashMap::new(), 0);
    // A stack, not a call per generation: a chain of retries is as deep as it is long.
    let mut open: Vec<(Option<Uid>, u32, Option<u32>)> = vec![(None, 0, None)];
    while let Some((uid, column, row)) = open.pop() {
        let (mut next_column, mut own_row) = (column, None);
        if let Some(uid) = uid {
            let row = row.unwrap_or_else(|| {
                next_row += 1;
                next_row - 1
            });
            places.insert(uid, (column, row));
            (next_column, own_row) = (column + 1, Some(row));
        }
        let followed = children.remove(&uid).unwrap_or_default();
        // The last on the stack is taken first: the first that followed, which goes on in the same row.
        for (number, follower) in followed.into_iter().enumerate().rev() {
            open.push((Some(follower), next_column, own_row.filter(|_| number == 0)));
        }
    }
    places
}

fn chain_corners(chain: &[Attempt]) -> HashMap<Uid, (u32, u32)> {
    let places = chain_places(chain).into_iter();
    places.map(|(uid, (column, row))| (uid, (MARGIN + column * CELL.0, MARGIN + row * CELL.1))).collect()
}

/// From the right side of one node to the left side of another.
fn edge_path((from_x, from_y): (u32, u32), (to_x, to_y): (u32, u32)) -> String {
    let (x, y, end) = (from_x + NODE.0, from_y + NODE.1 / 2, to_y + NODE.1 / 2);
    let middle = x.midpoint(to_x);
    format!("M{x} {y}C{middle} {y} {middle} {end} {to_x} {end}")
}

impl ChainEdge {
    /// To an attempt from its parent, where that is drawn.
    fn to(task: &Attempt, drawn: &[Attempt], corners: &HashMap<Uid, (u32, u32)>) -> Option<Self> {
        let parent = drawn.iter().find(|parent| Some(parent.uid) == task.parent)?;
        let again = (&parent.topic, &parent.job) == (&task.topic, &task.job);
        Some(Self { path: edge_path(*corners.get(&parent.uid)?, *corners.get(&task.uid)?), again })
    }
}

impl ChainNode {
    fn new(task: &Attempt, (x, y): (u32, u32), current: bool) -> Self {
        let name = line_key(&task.topic, &task.job);
        let (status, class) = status_and_class(task);
        let sub = match task.retry {
            0 => status.to_owned(),
            retry => format!("{status}, attempt {}", retry.saturating_add(1)),
        };
        Self { uid: task.uid, x, y, class, name, sub, current }
    }
}

#[cfg(test)]
mod tests {
    use flowlord_testkit::sample::{attempt, finished};

    use super::*;

    fn child(n: i64, of: i64, topic: &str) -> Attempt {
        Attempt { parent: Some(attempt(of).uid), topic: topic.to_owned(), ..attempt(n) }
    }

    fn chain() -> Vec<Attempt> {
        let retry = Attempt { retry: 1, ..child(2, 1, "load") };
        vec![finished(1), retry, child(3, 2, "report"), child(4, 2, "notify"), child(5, 3, "mail")]
    }

    #[test]
    fn what_followed_stands_to_the_right_and_the_first_in_the_same_row() {
        let places = chain_places(&chain());
        let of = |n| places[&attempt(n).uid];
        assert_eq!([1, 2, 3, 4, 5].map(of), [(0, 0), (1, 0), (2, 0), (2, 1), (3, 0)]);
    }

    #[test]
    fn attempts_whose_parent_is_gone_begin_anew() {
        let places = chain_places(&[child(7, 1, "a"), attempt(8)]);
        assert_eq!((places[&attempt(7).uid], places[&attempt(8).uid]), ((0, 0), (0, 1)));
    }

    #[test]
    fn the_drawing_leads_to_each_attempt_and_tells_a_retry_from_a_child() {
        let graph = ChainGraph::new(&chain(), attempt(3).uid, 0);
        assert!(graph.is_worth_it() && graph.edges.len() == 4);
        assert_eq!(graph.edges.iter().filter(|edge| edge.again).count(), 1);
        let text = graph.to_string();
        assert!(text.contains(&format!("href=\"/web/task/{}\" aria-current=\"true\"", attempt(3).uid)), "{text}");
        assert!(text.contains("M182 26C202 26 202 80 222 80") || text.contains("class=\"edge again\""), "{text}");
    }

    #[test]
    fn a_chain_of_thousands_is_drawn_in_part_and_says_so() {
        let chain: Vec<_> = (1..=1_000).map(attempt).collect();
        let graph = ChainGraph::new(&chain, attempt(1).uid, 5);
        assert_eq!((graph.nodes.len(), graph.left_out), (DRAWN, 925));
        assert!(graph.to_string().contains("925 more"));
    }

    #[test]
    fn a_long_name_is_left_whole_for_the_browser_to_cut() {
        let long = Attempt { topic: "t".repeat(200), job: "j".repeat(200), ..attempt(1) };
        let name = format!("{}:{}", long.topic, long.job);
        assert!(ChainGraph::new(&[long], attempt(1).uid, 0).to_string().contains(&format!("<b>{name}</b>")));
    }
}
