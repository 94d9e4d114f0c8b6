//! The log of a task on its page: its end, or the lines that were searched for, with the colours that its command gave it.

use std::fmt::{self, Write as _};

use askama::filters::HtmlSafe;
use flowlord_domain::TaskState;
use flowlord_messages::logs::{LogText, ReadLog};
use flowlord_web_core::log_stream::{FollowRequest, answer_followed, last_event_id};
use flowlord_web_core::log_text::end_of;
use flowlord_web_core::use_cases::tasks::{parse_uid, read_task};

use crate::PageLayout;
use crate::prelude::*;

/// How much of a log is on the page; all of it is a link away.
const SHOWN_BYTES: usize = 48 * 1024;

/// The same as markup, so that the page stays small whatever the log has.
const SHOWN_MARKUP_BYTES: usize = 72 * 1024;

/// The log as its task's page shows it.
pub(super) struct ShownLog {
    pub(super) markup: LogMarkup,
    /// What was searched for; empty for nothing.
    pub(super) wanted: String,
    /// How many lines have it.
    pub(super) found: usize,
    /// Whether there is more than what is shown.
    pub(super) is_cut: bool,
    /// Where what follows comes from, while the task runs.
    pub(super) stream: Option<String>,
}

/// Reads the log of an attempt that was ever leased; none where it has none.
pub(super) async fn read_shown(
    context: &WebContext,
    layout: &mut PageLayout,
    task: &Attempt,
    wanted: &str,
) -> Result<Option<ShownLog>, Problem> {
    // Before its first lease it can't have one: nobody needs to be asked.
    if task.delivery == 0 && task.state != TaskState::Done {
        return Ok(None);
    }
    let is_followed = task.state != TaskState::Done;
    let read = context.deps.logs.call(ReadLog { uid: task.uid, after: 0, is_followed }).await;
    let has_leader = context.cluster.of_cluster().is_none_or(|state| state.leader.is_some());
    // While no node leads, a follower shows what it has itself.
    let log = if has_leader { layout.read("the log", read)? } else { layout.read_here("the log", read) };
    let log = log.flatten().or_else(|| is_followed.then(LogText::default));
    Ok(log.map(|log| ShownLog::new(&log, wanted, task.uid, is_followed)))
}

impl ShownLog {
    fn new(log: &LogText, wanted: &str, uid: Uid, is_followed: bool) -> Self {
        let (text, found) = if wanted.is_empty() { (log.text.clone(), 0) } else { lines_with(&log.text, wanted) };
        let mut shown = end_of(&text, SHOWN_BYTES);
        let mut markup = LogMarkup::of(shown);
        // How much markup a text becomes is known only afterwards: each run of a colour takes more than its text.
        while markup.0.len() > SHOWN_MARKUP_BYTES {
            shown = end_of(shown, shown.len() / 2);
            markup = LogMarkup::of(shown);
        }
        let stream = (is_followed && wanted.is_empty()).then(|| format!("/web/task/{uid}/log?after={}", log.end));
        Self { is_cut: shown.len() < text.len() || log.start > 0, markup, wanted: wanted.to_owned(), found, stream }
    }
}

/// The lines with a text, in any case of its ASCII letters, each with its number; and how many there are.
fn lines_with(text: &str, wanted: &str) -> (String, usize) {
    let wanted = wanted.to_ascii_lowercase();
    let mut found = 0;
    let mut lines = String::new();
    for (number, line) in (1..).zip(text.lines()) {
        // A change of colour within a word must not keep it from being found.
        let plain: String = runs(line).map(|(text, _)| text).collect();
        if plain.to_ascii_lowercase().contains(&wanted) {
            found += 1;
            // Styles end with their line: what begins one may be in a line that isn't shown.
            let _ = writeln!(lines, "\u{1b}[2m{number:>6}\u{1b}[0m {line}\u{1b}[0m");
        }
    }
    (lines, found)
}

/// What follows of a log, as markup for the page that shows it.
pub(super) async fn follow(context: ContextRef, path: Path<String>, request: HttpRequest) -> Answer {
    let params = QueryParams::parse(request.query_string(), &["after"])?;
    let uid = parse_uid(&path)?;
    read_task(&context, uid).await?;
    let after = params.one("after")?.map_or(Ok(0), str::parse);
    let after = after.map_err(|_| Problem::invalid("`after`: take the address from the page of the task"))?;
    // A browser that connects again goes on where it was, not where the page began.
    let after = last_event_id(&request).unwrap_or(after);
    let mut style = TextStyle::default();
    let show = move |text: &str| markup_of(text, &mut style);
    answer_followed(context, &request, FollowRequest { uid, after, tail: None }, show)
}

/// Text of a log as markup.
pub(super) struct LogMarkup(String);

impl LogMarkup {
    fn of(text: &str) -> Self {
        Self(markup_of(text, &mut TextStyle::default()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl HtmlSafe for LogMarkup {}

impl fmt::Display for LogMarkup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn markup_of(text: &str, style: &mut TextStyle) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for (text, change) in runs(text) {
        let class = style.class();
        if !text.is_empty() {
            let text = askama::filters::escape(text, askama::filters::Html).map(|text| text.to_string());
            let text = text.unwrap_or_default();
            let _ = if class.is_empty() {
                out.write_str(&text)
            } else {
                write!(out, "<span class=\"{class}\">{text}</span>")
            };
        }
        style.change(change);
    }
    out
}

/// Runs of text, each with the change of style behind it: the numbers of a colour's escape sequence, empty at the end.
fn runs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let Some((run, behind)) = text.split_once("\u{1b}[") else { return Some((text, "")) };
        let (change, behind) = behind.split_once('m').unwrap_or((behind, ""));
        rest = Some(behind);
        Some((run, change))
    })
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct TextStyle {
    is_bold: bool,
    is_dim: bool,
    is_italic: bool,
    is_underlined: bool,
    /// One of the sixteen colours.
    colour: Option<u8>,
    ground: Option<u8>,
}

impl TextStyle {
    /// Does what the numbers of an escape sequence (SGR) say. Colours beyond the sixteen are left out: the page has its own.
    fn change(&mut self, numbers: &str) {
        let mut numbers = numbers.split(';').map(|number| number.parse::<u8>().unwrap_or(u8::MAX));
        while let Some(number) = numbers.next() {
            match number {
                0 => *self = Self::default(),
                1 => self.is_bold = true,
                2 => self.is_dim = true,
                3 => self.is_italic = true,
                4 => self.is_underlined = true,
                22 => (self.is_bold, self.is_dim) = (false, false),
                23 => self.is_italic = false,
                24 => self.is_underlined = false,
                30..=37 => self.colour = Some(number - 30),
                90..=97 => self.colour = Some(number - 82),
                40..=47 => self.ground = Some(number - 40),
                100..=107 => self.ground = Some(number - 92),
                39 => self.colour = None,
                49 => self.ground = None,
                38 | 48 => {
                    let colour = palette_colour(&mut numbers);
                    *(if number == 38 { &mut self.colour } else { &mut self.ground }) = colour;
                }
                _ => {}
            }
        }
    }

    fn class(self) -> String {
        let named = [(self.is_bold, "b"), (self.is_dim, "d"), (self.is_italic, "i"), (self.is_underlined, "u")];
        let named = named.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name.to_owned());
        let colours = [("f", self.colour), ("g", self.ground)];
        let colours = colours.into_iter().filter_map(|(name, colour)| Some(format!("{name}{}", colour?)));
        named.chain(colours).collect::<Vec<_>>().join(" ")
    }
}

/// The colour behind 38 or 48, where it is one of the first sixteen.
fn palette_colour(numbers: &mut impl Iterator<Item = u8>) -> Option<u8> {
    match numbers.next() {
        Some(5) => numbers.next().filter(|colour| *colour < 16),
        Some(2) => {
            // Red, green and blue, which would else be read as styles.
            numbers.by_ref().take(3).for_each(drop);
            None
        }
        _ => None,
    }
}

/// Where all of a log is.
pub(super) fn whole_link(uid: Uid) -> String {
    format!("/api/v1/tasks/{uid}/log")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn markup(text: &str) -> String {
        markup_of(text, &mut TextStyle::default())
    }

    #[test]
    fn colours_become_classes_and_the_rest_is_text() {
        for (text, expected) in [
            ("a <b> & \"c\"", "a &#60;b&#62; &#38; &#34;c&#34;"),
            ("\u{1b}[1;31mred\u{1b}[0m plain", "<span class=\"b f1\">red</span> plain"),
            ("\u{1b}[93mx\u{1b}[44my\u{1b}[39;49mz", "<span class=\"f11\">x</span><span class=\"f11 g4\">y</span>z"),
            ("\u{1b}[38;5;9mx\u{1b}[38;2;1;31;4my", "<span class=\"f9\">x</span>y"),
            ("\u{1b}[2;3;4mx\u{1b}[22;23;24my\u{1b}[38:5:1mz", "<span class=\"d i u\">x</span>yz"),
            ("torn \u{1b}[3", "torn "),
        ] {
            assert_eq!(markup(text), expected, "{text:?}");
        }
        let mut style = TextStyle::default();
        assert_eq!(markup_of("\u{1b}[32mone", &mut style), "<span class=\"f2\">one</span>");
        assert_eq!(markup_of("two", &mut style), "<span class=\"f2\">two</span>", "it goes on with the next part");
    }

    #[test]
    fn a_search_finds_lines_whatever_their_colours() {
        let (lines, found) = lines_with("one\n\u{1b}[31mNo \u{1b}[0mDisk\nno\n", "no disk");
        assert_eq!((found, lines.matches('\n').count()), (1, 1));
        assert!(markup(&lines).contains("     2</span> <span class=\"f1\">No </span>Disk"), "{lines:?}");
    }

    #[test]
    fn whatever_a_log_has_its_markup_is_bounded() {
        for text in ["<&>\n".repeat(90_000), "\u{1b}[31mx\u{1b}[32my\n".repeat(30_000), "\u{1b}[31m<".repeat(60_000)] {
            let log = LogText { end: text.len() as u64, text, start: 0 };
            let shown = ShownLog::new(&log, "", Uid(1), true);
            assert!(shown.is_cut && (10_000..=SHOWN_MARKUP_BYTES).contains(&shown.markup.0.len()));
        }
    }
}
