//! What a phase expects of its complete tasks: how long they run, and the figures that workers leave in the meta.

mod judged;
#[cfg(test)]
mod tests;

pub use crate::rule::expectations::{Comparison, ExpectElse, Expectations, Figure, FigureExpectation, WantedFigure};
pub use judged::{JudgedResult, LearnedKey, LearnedValue, LearnedValues, MAX_LEARNED, learned_keys};
