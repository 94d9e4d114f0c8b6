//! What people may see of a command's output: colours stay, all else that is for a terminal goes.

use std::fmt::Write as _;

use anstyle_parse::{Params, Parser, Perform};

/// The text of some bytes, with the escape sequences of colours (SGR) and no others.
pub(crate) fn clean_text(bytes: &[u8]) -> String {
    let mut text = CleanText(String::with_capacity(bytes.len()));
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let (shown, end) = match line.strip_suffix(b"\n") {
            Some(shown) => (shown.strip_suffix(b"\r").unwrap_or(shown), "\n"),
            None => (line, ""),
        };
        // Each line anew: a sequence without an end, like the title of a window, must not take the rest of the log.
        let mut parser = <Parser>::new();
        for byte in String::from_utf8_lossy(shown).bytes() {
            parser.advance(&mut text, byte);
        }
        text.0.push_str(end);
    }
    text.0
}

struct CleanText(String);

impl Perform for CleanText {
    fn print(&mut self, c: char) {
        // Those of two bytes begin sequences of their own for some terminals.
        if !c.is_control() {
            self.0.push(c);
        }
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\t' => self.0.push('\t'),
            // A line that is redrawn: each state of it is shown, as nothing that was sent can be taken back.
            b'\r' => self.0.push('\n'),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], is_broken: bool, action: u8) {
        if action != b'm' || is_broken || !intermediates.is_empty() {
            return;
        }
        self.0.push_str("\u{1b}[");
        for (at, param) in params.iter().enumerate() {
            for (part, number) in param.iter().enumerate() {
                let between = match (at, part) {
                    (0, 0) => "",
                    (_, 0) => ";",
                    _ => ":",
                };
                let _ = write!(self.0, "{between}{number}");
            }
        }
        self.0.push('m');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn colours_stay_and_other_sequences_go() {
        for (bytes, text) in [
            (&b"plain\n\ttext\n"[..], "plain\n\ttext\n"),
            (b"\x1b[1;31mred\x1b[0m\x1b[m", "\x1b[1;31mred\x1b[0m\x1b[0m"),
            (b"\x1b[38;2;1;2;3mx\x1b[38:5:9my", "\x1b[38;2;1;2;3mx\x1b[38:5:9my"),
            (b"a\x1b[2K\x1b[1Gb\x1b[?25l\x1b[>4mc", "abc"),
            (b"\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b\x1b]8;;\x1b\\", "ab"),
            (b"10%\r20%\r\nend\r\n", "10%\n20%\nend\n"),
            (b"a\x00\x07\x08\x7fb\xc2\x9b31mc", "ab31mc"),
            (b"caf\xc3\xa9 \xff", "caf\u{e9} \u{fffd}"),
            (b"\x1b]0;never ends\nthe rest\n", "\nthe rest\n"),
            (b"torn \x1b[3", "torn "),
        ] {
            assert_eq!(clean_text(bytes), text, "{}", bytes.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn no_control_gets_through_but_line_ends_tabs_and_colours(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let text = clean_text(&bytes);
            for part in text.split('\u{1b}').skip(1) {
                let (numbers, _) = part.split_once('m').expect("the end of a colour");
                prop_assert!(numbers.starts_with('['), "{text:?}");
                prop_assert!(numbers[1..].chars().all(|c| c.is_ascii_digit() || ";:".contains(c)), "{text:?}");
            }
            prop_assert!(!text.chars().any(|c| c.is_control() && !"\n\t\u{1b}".contains(c)), "{text:?}");
            prop_assert_eq!(clean_text(text.as_bytes()), text, "clean text stays as it is");
        }
    }
}
