//! Texts of workers whose addresses are links.

use std::fmt;

use askama::filters::{Html, HtmlSafe, escape};

/// A text as markup: what begins with http:// or https:// leads there.
pub(crate) struct LinkedText<'a>(pub(crate) &'a str);

impl HtmlSafe for LinkedText<'_> {}

impl fmt::Display for LinkedText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some((before, url, behind)) = next_url(rest) {
            let (before, url) = (escaped(before)?, escaped(url)?);
            // Who runs the other site learns nothing of this page.
            write!(f, "{before}<a href=\"{url}\" rel=\"noopener noreferrer nofollow\">{url}</a>")?;
            rest = behind;
        }
        f.write_str(&escaped(rest)?)
    }
}

fn escaped(text: &str) -> Result<String, fmt::Error> {
    escape(text, Html).map(|text| text.to_string()).map_err(|_| fmt::Error)
}

/// What comes before the first address of a text, the address, and what comes behind.
fn next_url(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let start = from + text[from..].find("http")?;
        let scheme = ["https://", "http://"].into_iter().find(|scheme| text[start..].starts_with(scheme));
        let follows_word = text[..start].ends_with(char::is_alphanumeric);
        if let Some(scheme) = scheme.filter(|_| !follows_word) {
            let length = url_length(&text[start..]);
            if length > scheme.len() {
                let (before, rest) = text.split_at(start);
                let (url, behind) = rest.split_at(length);
                return Some((before, url, behind));
            }
        }
        from = start + "http".len();
    }
}

fn url_length(text: &str) -> usize {
    let ends = |c: char| c.is_whitespace() || c.is_control() || "\"'<>`{}|\\^".contains(c);
    let url = &text[..text.find(ends).unwrap_or(text.len())];
    // The end of a sentence is no part of it; a bracket is where it was opened within.
    let trimmed = url.trim_end_matches(['.', ',', ';', ':', '!', '?', '*']);
    let closes =
        |open, close| trimmed.ends_with(close) && trimmed.matches(close).count() > trimmed.matches(open).count();
    if closes('(', ')') || closes('[', ']') { trimmed.len() - 1 } else { trimmed.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linked(url: &str) -> String {
        format!("<a href=\"{url}\" rel=\"noopener noreferrer nofollow\">{url}</a>")
    }

    #[test]
    fn addresses_are_links_and_all_else_is_text() {
        for (text, expected) in [
            ("no link", "no link".to_owned()),
            ("see https://h/a?b=1&c=2.", format!("see {}.", linked("https://h/a?b=1&#38;c=2"))),
            ("(http://h/a_(b)) x", format!("({}) x", linked("http://h/a_(b)"))),
            ("http://a, https://b", format!("{}, {}", linked("http://a"), linked("https://b"))),
            ("<https://h>", format!("&#60;{}&#62;", linked("https://h"))),
            ("https://h/\"onclick=x", format!("{}&#34;onclick=x", linked("https://h/"))),
            ("javascript:x xhttp://no http:// https", "javascript:x xhttp://no http:// https".to_owned()),
            ("data:text/html,http://h", format!("data:text/html,{}", linked("http://h"))),
            ("\u{e9}http\u{e9} https://\u{e9}.", format!("\u{e9}http\u{e9} {}.", linked("https://\u{e9}"))),
        ] {
            assert_eq!(LinkedText(text).to_string(), expected, "{text}");
        }
    }
}
