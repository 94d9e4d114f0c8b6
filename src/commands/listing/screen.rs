//! The terminal: how wide it is, and text that is drawn again and again.

use std::io;

use terminal_size::{Height, Width, terminal_size_of};

use crate::commands::out;

/// Where the cursor goes before a text is drawn anew, and what clears the rest of a line and of the screen.
const TO_TOP: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

pub(super) struct Screen;

impl Screen {
    /// How many characters a line has; none where any number is fine.
    pub(super) fn width(asked: Option<u16>) -> Option<u16> {
        let terminal = || terminal_size_of(io::stdout()).map(|(Width(width), _)| width);
        asked.or_else(terminal).or_else(|| std::env::var("COLUMNS").ok()?.parse().ok()).filter(|width| *width > 0)
    }

    /// Draws again and again, after a wait each, until the reader is gone.
    pub(super) async fn redraw(
        draw: impl AsyncFn() -> anyhow::Result<String>,
        mut wait: impl AsyncFnMut(),
    ) -> anyhow::Result<()> {
        // Only what is drawn first may fail: a restart of the service ends no list that people watch.
        let mut drawn = draw().await?;
        let mut problem = String::new();
        while out::styled_text(&on_top(&drawn, &problem, Self::height()))? {
            wait().await;
            match draw().await {
                Ok(text) => (drawn, problem) = (text, String::new()),
                Err(err) => problem = format!("{err:#}\n"),
            }
        }
        Ok(())
    }

    fn height() -> Option<usize> {
        terminal_size_of(io::stdout()).map(|(_, Height(height))| height.into())
    }
}

/// A text that replaces what the terminal shows, as far as it fits; below it what is wrong.
fn on_top(text: &str, problem: &str, height: Option<usize>) -> String {
    // A pipe has no top: there one text follows the other.
    let Some(height) = height else { return format!("{text}{problem}\n") };
    let fitting = height.saturating_sub(1 + problem.lines().count());
    let lines = text.lines().take(fitting).chain(problem.lines());
    let lines: String = lines.map(|line| format!("{line}{CLEAR_LINE}\n")).collect();
    format!("{TO_TOP}{lines}{CLEAR_BELOW}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_fits_the_height_and_leaves_nothing_of_the_last_one() {
        let drawn = on_top("head\n1\n2\n3\n", "away\n", Some(4));
        assert_eq!(drawn, "\x1b[Hhead\x1b[K\n1\x1b[K\naway\x1b[K\n\x1b[J");
        assert_eq!(on_top("head\n", "", Some(1)), "\x1b[H\x1b[J");
        assert_eq!(on_top("head\n1\n", "away\n", None), "head\n1\naway\n\n");
    }
}
