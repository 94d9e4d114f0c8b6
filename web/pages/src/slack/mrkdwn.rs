//! Slack's markup as HTML: fences, code, bold, italic and struck text, links. Everything else is text.
//!
//! Slack's text has `&`, `<` and `>` escaped, and keeps the plain ones for links. Each piece is unescaped by Slack's
//! rules and escaped by those of HTML as it is written, so that no text can become markup.

use std::fmt;

use askama::filters::{Html, HtmlSafe, escape};
use serde::Deserialize;

/// A text in Slack's markup.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Mrkdwn(pub(super) String);

impl Mrkdwn {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl HtmlSafe for Mrkdwn {}

impl fmt::Display for Mrkdwn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<&str> = self.0.split("```").collect();
        for (nth, part) in parts.iter().enumerate() {
            // A fence that nothing closes is text.
            match nth % 2 == 1 && nth + 1 < parts.len() {
                true => write!(f, "<pre>{}</pre>", escaped(part.trim_matches('\n')))?,
                false if nth % 2 == 1 => write_inline(f, &format!("```{part}"))?,
                false => write_inline(f, part.trim_matches('\n'))?,
            }
        }
        Ok(())
    }
}

/// The marks around text, and what they mean.
const MARKS: [(char, &str); 4] = [('`', "code"), ('*', "b"), ('_', "i"), ('~', "s")];

fn write_inline(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let mut rest = text;
    while let Some((before, piece, behind)) = next_piece(rest, rest.len() == text.len()) {
        f.write_str(&escaped(before))?;
        match piece {
            Piece::Link(link) => write_link(f, link)?,
            Piece::Marked("code", inner) => write!(f, "<code>{}</code>", escaped(inner))?,
            Piece::Marked(element, inner) => {
                write!(f, "<{element}>")?;
                write_inline(f, inner)?;
                write!(f, "</{element}>")?;
            }
        }
        rest = behind;
    }
    f.write_str(&escaped(rest))
}

#[derive(Debug)]
enum Piece<'a> {
    /// What stands between `<` and `>`.
    Link(&'a str),
    /// The element, and what stands between the marks.
    Marked(&'static str, &'a str),
}

/// What comes before the first piece that isn't plain text, the piece, and what comes behind.
fn next_piece(text: &str, is_beginning: bool) -> Option<(&str, Piece<'_>, &str)> {
    let mut follows_word = !is_beginning;
    for (at, c) in text.char_indices() {
        let (before, from) = text.split_at(at);
        let found = match c {
            '<' => read_link(from),
            _ if follows_word => None,
            _ => read_marked(from, c),
        };
        if let Some((piece, behind)) = found {
            return Some((before, piece, behind));
        }
        follows_word = c.is_alphanumeric();
    }
    None
}

fn read_link(text: &str) -> Option<(Piece<'_>, &str)> {
    let (link, behind) = text[1..].split_once('>')?;
    Some((Piece::Link(link), behind))
}

/// Marks stand right around a text of one line, and not within a word.
fn read_marked(text: &str, mark: char) -> Option<(Piece<'_>, &str)> {
    let (_, element) = MARKS.iter().find(|(known, _)| *known == mark)?;
    let (inner, behind) = text[1..].split_once(mark)?;
    let is_tight = !inner.is_empty() && !inner.starts_with(' ') && !inner.ends_with(' ') && !inner.contains('\n');
    (is_tight && !behind.starts_with(char::is_alphanumeric)).then_some((Piece::Marked(element, inner), behind))
}

fn write_link(f: &mut fmt::Formatter<'_>, link: &str) -> fmt::Result {
    let (address, label) = link.split_once('|').unwrap_or((link, link));
    // `@U1`, `#C1` and `!here` are no addresses, and `javascript:` must not be one.
    if !["http://", "https://"].iter().any(|scheme| address.starts_with(scheme)) {
        return f.write_str(&escaped(label));
    }
    let (address, label) = (escaped(address), escaped(label));
    write!(f, "<a href=\"{address}\" rel=\"noopener noreferrer nofollow\">{label}</a>")
}

/// A piece of Slack's text as HTML's.
fn escaped(text: &str) -> String {
    // In this order: `&amp;lt;` is the text `&lt;`.
    escaped_plain(&text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
}

/// Text that Slack shows as it stands.
pub(super) fn escaped_plain(text: &str) -> String {
    escape(text, Html).map_or_else(|_| String::new(), |text| text.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn html(text: &str) -> String {
        Mrkdwn(text.to_owned()).to_string()
    }

    #[test]
    fn what_messages_use_is_shown_as_slack_shows_it() {
        for (text, expected) in [
            ("*8 alerts in 2 tasks*", "<b>8 alerts in 2 tasks</b>"),
            ("a *b* _c_ ~d~ `e`", "a <b>b</b> <i>c</i> <s>d</s> <code>e</code>"),
            ("*a _b_*", "<b>a <i>b</i></b>"),
            ("`*a*`", "<code>*a*</code>"),
            ("```load:  1\nx *y*```", "<pre>load:  1\nx *y*</pre>"),
            ("a\n```b```\nc", "a<pre>b</pre>c"),
            (
                "<https://h/a?b=1&amp;c=2|see report>\nnext",
                "<a href=\"https://h/a?b=1&#38;c=2\" rel=\"noopener noreferrer nofollow\">see report</a>\nnext",
            ),
            ("<http://h>", "<a href=\"http://h\" rel=\"noopener noreferrer nofollow\">http://h</a>"),
            // A person, a channel.
            ("by <@U1>", "by @U1"),
            ("by <@U1|ann> in <#C1|data>", "by ann in data"),
        ] {
            assert_eq!(html(text), expected, "{text}");
        }
    }

    #[test]
    fn marks_within_words_or_without_an_end_are_text() {
        for text in ["a*b*c", "2 * 3 * 4", "snake_case_name", "*a", "*a\nb*", "**", "```a", "`", "* a*", "_a_b"] {
            assert_eq!(html(text), text, "{text}");
        }
        assert_eq!(html("a < b"), "a &#60; b", "no link");
    }

    #[test]
    fn no_text_becomes_markup() {
        for (text, expected) in [
            ("&lt;script&gt;alert(1)&lt;/script&gt;", "&#60;script&#62;alert(1)&#60;/script&#62;"),
            ("&amp;lt;b&amp;gt;", "&#38;lt;b&#38;gt;"),
            ("<script>", "script"),
            ("<img src=x onerror=y>", "img src=x onerror=y"),
            ("<javascript:alert(1)|click>", "click"),
            ("<JAVASCRIPT:x>", "JAVASCRIPT:x"),
            ("*\"quoted\" & 'so'*", "<b>&#34;quoted&#34; &#38; &#39;so&#39;</b>"),
            ("```&lt;/pre&gt;<b>```", "<pre>&#60;/pre&#62;&#60;b&#62;</pre>"),
        ] {
            assert_eq!(html(text), expected, "{text}");
        }
        let address = html("<https://h/\"onclick=\"x|a>");
        assert!(address.starts_with("<a href=\"https://h/&#34;onclick=&#34;x\" rel="), "{address}");
    }

    proptest! {
        #[test]
        fn only_known_elements_are_written(text in "[<>&;|`*_~\"'a h:/\n-]{0,40}") {
            let mut page = html(&text);
            for element in ["b", "i", "s", "code", "pre"] {
                page = page.replace(&format!("<{element}>"), "").replace(&format!("</{element}>"), "");
            }
            while let Some(at) = page.find("<a href=\"http") {
                let end = at + page[at..].find('>').unwrap();
                prop_assert!(page[at..end].ends_with("\" rel=\"noopener noreferrer nofollow\""));
                page.replace_range(at..=end, "");
            }
            let page = page.replace("</a>", "");
            prop_assert!(!page.contains(['<', '>', '"', '\'']), "{}", page);
        }
    }
}
