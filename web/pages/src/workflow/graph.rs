//! The phases of a file as a drawing: from left to right, each after what it follows.

use std::collections::{HashMap, HashSet, VecDeque};

use flowlord_domain::workflow::{Phase, TaskName, WorkflowFile};

use super::slots::SlotState;

/// How many tasks are drawn; more could not be read.
const MOST: usize = 200;
/// How many arrows are drawn: where many follow any job of a task, each has one from each.
const MOST_ARROWS: usize = 1_000;

const WIDTH: usize = 224;
const HEIGHT: usize = 48;
const GAP: usize = 56;
const STEP: usize = HEIGHT + 16;
/// Room round the drawing, for the focus ring.
const MARGIN: usize = 4;

#[derive(Default)]
pub(crate) struct PhaseDrawing {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) boxes: Vec<PhaseBox>,
    pub(crate) arrows: Vec<PhaseArrow>,
    /// How many tasks didn't find room.
    pub(crate) left_out: usize,
    /// How many arrows between those that did.
    pub(crate) arrows_left_out: usize,
}

pub(crate) struct PhaseBox {
    pub(crate) x: usize,
    pub(crate) y: usize,
    pub(crate) name: String,
    pub(crate) href: String,
    pub(crate) class: &'static str,
    pub(crate) note: String,
    pub(crate) chosen: bool,
}

/// From one to the next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PhaseArrow {
    pub(crate) path: String,
    /// On a circle: nothing goes this way.
    pub(crate) broken: bool,
}

pub(crate) struct PhaseFigures {
    pub(crate) state: SlotState,
    pub(crate) note: String,
    pub(crate) href: String,
    pub(crate) chosen: bool,
}

impl PhaseDrawing {
    pub(crate) const BOX_WIDTH: usize = WIDTH;
    pub(crate) const BOX_HEIGHT: usize = HEIGHT;

    pub(crate) fn new(file: &WorkflowFile, told: impl Fn(&TaskName) -> PhaseFigures) -> Self {
        let names = task_names(&file.phases);
        let shown = &names[..names.len().min(MOST)];
        let (edges, broken) = phase_edges(&file.phases, shown);
        let corners = box_corners(shown.len(), &edges);
        let boxes: Vec<PhaseBox> =
            shown.iter().zip(&corners).map(|(name, corner)| PhaseBox::new(name, told(name), *corner)).collect();
        // What is wrong comes first: it isn't left out.
        let arrows = broken.iter().map(|edge| (edge, true)).chain(edges.iter().map(|edge| (edge, false)));
        let arrows = arrows
            .take(MOST_ARROWS)
            .map(|((from, to), broken)| PhaseArrow { path: arrow_path(corners[*from], corners[*to]), broken });
        let arrows = arrows.collect();
        Self {
            width: boxes.iter().map(|drawn| drawn.x + WIDTH).max().unwrap_or_default() + MARGIN,
            height: boxes.iter().map(|drawn| drawn.y + HEIGHT).max().unwrap_or_default() + MARGIN,
            boxes,
            arrows,
            left_out: names.len().saturating_sub(MOST),
            arrows_left_out: (edges.len() + broken.len()).saturating_sub(MOST_ARROWS),
        }
    }

    /// The tasks of a file that find room.
    pub(super) fn drawn(file: &WorkflowFile) -> Vec<&TaskName> {
        task_names(&file.phases).into_iter().take(MOST).collect()
    }
}

impl PhaseBox {
    fn new(name: &TaskName, told: PhaseFigures, (x, y): (usize, usize)) -> Self {
        let PhaseFigures { state, note, href, chosen } = told;
        Self { x, y, name: name.to_string(), href, class: state.class(), note, chosen }
    }
}

fn box_corners(count: usize, edges: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let places = layers_and_rows(count, edges).into_iter();
    places.map(|(layer, row)| (MARGIN + layer * (WIDTH + GAP), MARGIN + row * STEP / 2)).collect()
}

/// Each task once, in the order of the file.
fn task_names(phases: &[Phase]) -> Vec<&TaskName> {
    let mut seen = HashSet::new();
    phases.iter().map(|phase| &phase.task).filter(|name| seen.insert(*name)).collect()
}

type Edges = Vec<(usize, usize)>;

/// From what is followed to what follows it; apart those that would go round in circles.
fn phase_edges(phases: &[Phase], names: &[&TaskName]) -> (Edges, Edges) {
    let place: HashMap<&TaskName, usize> = names.iter().enumerate().map(|(n, name)| (*name, n)).collect();
    let mut topics: HashMap<&str, Vec<usize>> = HashMap::new();
    for (n, name) in names.iter().enumerate() {
        topics.entry(&name.topic).or_default().push(n);
    }
    let (mut edges, mut broken, mut seen) = (Edges::new(), Edges::new(), HashSet::new());
    for phase in phases {
        let Some(to) = place.get(&phase.task) else { continue };
        // What is in another file is not drawn here.
        let here = phase.parents.iter().filter(|parent| parent.file == phase.workflow).map(|parent| &parent.task);
        let parents = phase.depends_on.iter().chain(here).flat_map(|parent| match parent.job.as_str() {
            // Without a job, a phase follows each job of the task.
            "" => topics.get(parent.topic.as_str()).cloned().unwrap_or_default(),
            _ => place.get(parent).copied().into_iter().collect(),
        });
        for from in parents.collect::<Vec<_>>().into_iter().filter(|from| seen.insert((*from, *to))) {
            if phase.is_cyclic || from == *to { broken.push((from, *to)) } else { edges.push((from, *to)) }
        }
    }
    (edges, broken)
}

/// Layer and half row of each node. A node's layer is after those of all that it follows; its row is in the middle
/// of those that follow it. The edges have no circle.
fn layers_and_rows(count: usize, edges: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut followers = vec![Vec::new(); count];
    let mut open = vec![0_usize; count];
    for (from, to) in edges {
        followers[*from].push(*to);
        open[*to] += 1;
    }
    let roots: Vec<usize> = (0..count).filter(|node| open[*node] == 0).collect();
    // In the order in which nodes have nothing left to wait for: each edge is looked at once.
    let mut layers = vec![0; count];
    let mut queue: VecDeque<usize> = roots.iter().copied().collect();
    while let Some(node) = queue.pop_front() {
        for follower in &followers[node] {
            layers[*follower] = layers[*follower].max(layers[node] + 1);
            open[*follower] -= 1;
            if open[*follower] == 0 {
                queue.push_back(*follower);
            }
        }
    }
    let rows = half_rows(&roots, &followers);
    layers.into_iter().zip(rows).collect()
}

/// Half rows, by a walk in depth: what nothing follows takes the next row, all else the middle of its followers'.
/// So whatever hangs on one node has rows of its own, and no two boxes share a place.
fn half_rows(roots: &[usize], followers: &[Vec<usize>]) -> Vec<usize> {
    let mut rows = vec![0; followers.len()];
    let mut entered = vec![false; followers.len()];
    let mut next = 0;
    for root in roots {
        // No recursion: a chain of phases may be as long as the file.
        let mut stack = vec![(*root, Vec::new())];
        entered[*root] = true;
        while let Some((node, own)) = stack.last_mut() {
            let (node, fresh) = (*node, followers[*node].iter().find(|follower| !entered[**follower]).copied());
            if let Some(follower) = fresh {
                entered[follower] = true;
                own.push(follower);
                stack.push((follower, Vec::new()));
                continue;
            }
            // All that it entered have their rows by now: the walk leaves a node last.
            let row = match own.as_slice() {
                [first, .., last] => usize::midpoint(rows[*first], rows[*last]),
                [only] => rows[*only],
                [] => {
                    next += 2;
                    next - 2
                }
            };
            rows[node] = row;
            stack.pop();
        }
    }
    rows
}

/// From the right of one box to the left of the next.
fn arrow_path((x, y): (usize, usize), (to_x, to_y): (usize, usize)) -> String {
    let (x, y, to_y) = (x + WIDTH, y + HEIGHT / 2, to_y + HEIGHT / 2);
    let bend = GAP / 2;
    format!(
        "M{x} {y}C{} {y} {} {to_y} {} {to_y}",
        x + bend,
        to_x.saturating_sub(bend),
        // The tip of the arrow takes the rest.
        to_x.saturating_sub(7)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(phases: &[(&str, &str)]) -> WorkflowFile {
        let phase = |(task, parent): &(&str, &str)| {
            let rest = if parent.is_empty() {
                "rule = \"cron=@hourly\"".to_owned()
            } else {
                format!("dependsOn = \"{parent}\"")
            };
            format!("[[phase]]\ntask = \"{task}\"\n{rest}\n")
        };
        let text: String = phases.iter().map(phase).collect();
        WorkflowFile::parse("w.toml", &text, "", "UTC".parse().ok().unwrap()).unwrap()
    }

    fn draw(phases: &[(&str, &str)]) -> PhaseDrawing {
        PhaseDrawing::new(&file(phases), |name| PhaseFigures {
            state: SlotState::Complete,
            note: String::new(),
            href: format!("/{name}"),
            chosen: false,
        })
    }

    fn at(drawing: &PhaseDrawing) -> Vec<(String, usize, usize)> {
        let place =
            |drawn: &PhaseBox| (drawn.name.clone(), (drawn.x - MARGIN) / (WIDTH + GAP), (drawn.y - MARGIN) * 2 / STEP);
        drawing.boxes.iter().map(place).collect()
    }

    #[test]
    fn each_stands_after_what_it_follows_and_beside_what_follows_it() {
        let drawing = draw(&[("a", ""), ("b", "a"), ("c", "b"), ("d", "b"), ("e", "a"), ("f", "")]);
        let wanted = [("a", 0, 2), ("b", 1, 1), ("c", 2, 0), ("d", 2, 2), ("e", 1, 4), ("f", 0, 6)];
        assert_eq!(at(&drawing), wanted.map(|(name, layer, row)| (name.to_owned(), layer, row)));
        assert_eq!((drawing.arrows.len(), drawing.left_out), (4, 0));
        assert!(drawing.arrows.iter().all(|arrow| !arrow.broken && arrow.path.starts_with('M')));
    }

    #[test]
    fn a_task_that_follows_any_job_has_an_arrow_from_each() {
        let drawing = draw(&[("a:x", ""), ("a:y", ""), ("b", "a"), ("a:x", "")]);
        assert_eq!(drawing.arrows.len(), 2);
        assert_eq!(drawing.boxes.len(), 3, "several schedules of a task are one box");
    }

    #[test]
    fn no_two_boxes_share_a_place_and_circles_end() {
        let mut phases = vec![("t0".to_owned(), String::new())];
        for n in 1..300_usize {
            phases.push((format!("t{n}"), format!("t{}", n / 3)));
        }
        phases.push(("x".to_owned(), "y".to_owned()));
        phases.push(("y".to_owned(), "x".to_owned()));
        let phases: Vec<_> = phases.iter().map(|(task, parent)| (task.as_str(), parent.as_str())).collect();
        let drawing = draw(&phases);
        assert_eq!((drawing.boxes.len(), drawing.left_out), (MOST, 102));
        let places: HashSet<_> = drawing.boxes.iter().map(|drawn| (drawn.x, drawn.y)).collect();
        assert_eq!(places.len(), MOST);
        let circle = draw(&[("x", "y"), ("y", "x"), ("z", "z")]);
        assert_eq!(circle.arrows.iter().filter(|arrow| arrow.broken).count(), 3);
    }

    #[test]
    fn where_all_follow_all_only_so_many_arrows_are_drawn() {
        let mut phases = vec![("x:loop".to_owned(), "x:loop")];
        for n in 0..500 {
            phases.extend([(format!("a:j{n}"), ""), (format!("b:j{n}"), "a")]);
        }
        let phases: Vec<_> = phases.iter().map(|(task, parent)| (task.as_str(), *parent)).collect();
        let drawing = draw(&phases);
        assert_eq!((drawing.boxes.len(), drawing.left_out), (MOST, 801));
        // One on itself, and 100 of `a` before 99 of `b`.
        assert_eq!((drawing.arrows.len(), drawing.arrows_left_out), (MOST_ARROWS, 1 + 100 * 99 - MOST_ARROWS));
        assert_eq!(drawing.arrows.iter().filter(|arrow| arrow.broken).count(), 1, "what is wrong is drawn");
    }

    #[test]
    fn a_long_name_is_left_whole_for_the_browser_to_cut() {
        let name = "é".repeat(200);
        assert_eq!(draw(&[(name.as_str(), "")]).boxes[0].name, name);
    }
}
