//! The last line of a command's output, as a terminal would show it.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeptPart {
    Beginning(usize),
    End(usize),
}

/// The last line that shows anything, of output that comes in pieces.
#[derive(Debug)]
pub(super) struct LastLine {
    keep: KeptPart,
    whole: KeptLine,
    current: KeptLine,
}

#[derive(Debug, Default)]
struct KeptLine {
    bytes: Vec<u8>,
    is_cut: bool,
}

impl LastLine {
    pub(super) fn new(keep: KeptPart) -> Self {
        Self { keep, whole: KeptLine::default(), current: KeptLine::default() }
    }

    pub(super) fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            self.current.push(text, self.keep);
            if text.len() < piece.len() {
                self.end();
            }
        }
    }

    fn end(&mut self) {
        // An empty line at the end, or one that was erased, must not hide what was said before it.
        if self.current.shows_anything() {
            std::mem::swap(&mut self.whole, &mut self.current);
        }
        self.current = KeptLine::default();
    }

    /// The line, and whether it was longer than what is kept.
    pub(super) fn finish(mut self) -> (String, bool) {
        self.end();
        let KeptLine { bytes, is_cut } = self.whole;
        let text = shown(&bytes);
        match self.keep {
            KeptPart::End(most) if text.len() > most => (end_of(&text, most).trim_start().to_owned(), true),
            _ => (text, is_cut),
        }
    }
}

impl KeptLine {
    fn push(&mut self, text: &[u8], keep: KeptPart) {
        match keep {
            KeptPart::Beginning(most) => {
                let room = (most - self.bytes.len()).min(text.len());
                self.bytes.extend_from_slice(&text[..room]);
                self.is_cut |= room < text.len();
            }
            KeptPart::End(most) => {
                self.bytes.extend_from_slice(text);
                // Escape sequences take room, too; bytes move seldom where more of them are kept for a while.
                if self.bytes.len() > 4 * most {
                    self.bytes.drain(..self.bytes.len() - 2 * most);
                    self.is_cut = true;
                }
            }
        }
    }

    fn shows_anything(&self) -> bool {
        // Most lines have no control, and need no terminal to be played. 0xc2 begins the controls of two bytes.
        let has_controls = self.bytes.iter().any(|byte| byte.is_ascii_control() || *byte == 0xc2);
        if has_controls { !shown(&self.bytes).is_empty() } else { !self.bytes.trim_ascii().is_empty() }
    }
}

fn end_of(text: &str, most: usize) -> &str {
    // Not within a character.
    let from = (text.len() - most..).find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    &text[from..]
}

/// What a terminal shows of a line: carriage returns and backspaces go back over it, escape sequences move and erase
/// or do nothing, other controls do nothing.
pub(super) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let (mut row, mut rest) = (TerminalRow::default(), text.chars());
    while let Some(c) = rest.next() {
        match c {
            '\r' => row.column = 0,
            '\u{8}' => row.column = row.column.saturating_sub(1),
            '\t' => row.move_to((row.column / 8 + 1) * 8),
            '\u{1b}' => row.escape(&mut rest),
            '\u{9b}' => row.control(&mut rest),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => skip_string(&mut rest),
            c if c.is_control() => {}
            c => row.put(c),
        }
    }
    row.cells.iter().collect::<String>().trim().to_owned()
}

// No terminal is wider: a column beyond is that of a broken sequence, and must not take its memory.
const MOST_COLUMNS: usize = 1_000;

#[derive(Default)]
struct TerminalRow {
    cells: Vec<char>,
    column: usize,
}

impl TerminalRow {
    fn put(&mut self, c: char) {
        if self.column >= self.cells.len() {
            self.cells.resize(self.column + 1, ' ');
        }
        self.cells[self.column] = c;
        self.column += 1;
    }

    fn move_to(&mut self, column: usize) {
        self.column = column.min(self.cells.len().max(MOST_COLUMNS));
    }

    fn escape(&mut self, rest: &mut std::str::Chars<'_>) {
        match rest.next() {
            Some('[') => self.control(rest),
            Some(']' | 'P' | 'X' | '^' | '_') => skip_string(rest),
            // A character set and the like: it ends with its first letter or digit.
            Some(' '..='/') => drop(rest.find(|c| !matches!(c, ' '..='/'))),
            _ => {}
        }
    }

    /// A control sequence: numbers, then a letter that says what they are for.
    fn control(&mut self, rest: &mut std::str::Chars<'_>) {
        let mut numbers = String::new();
        let Some(letter) = rest.find(|c| {
            let is_end = !matches!(c, ' '..='?');
            if !is_end {
                numbers.push(*c);
            }
            is_end
        }) else {
            return;
        };
        let number = numbers.split(';').next_back().and_then(|number| number.parse().ok());
        let count = number.unwrap_or(1).max(1);
        match letter {
            'K' | 'J' => self.erase(number.unwrap_or(0)),
            'C' => self.move_to(self.column.saturating_add(count)),
            'D' => self.column = self.column.saturating_sub(count),
            'G' | '`' | 'H' | 'f' => self.move_to(count - 1),
            'E' | 'F' => self.column = 0,
            'P' => {
                let from = self.column.min(self.cells.len());
                self.cells.drain(from..from.saturating_add(count).min(self.cells.len()));
            }
            _ => {}
        }
    }

    /// Erases what follows the column, what is before it, or all.
    fn erase(&mut self, which: usize) {
        let end = self.cells.len();
        match which {
            0 => self.cells.truncate(self.column),
            1 => self.cells[..(self.column + 1).min(end)].fill(' '),
            _ => self.cells.clear(),
        }
    }
}

/// Skips a text that is for the terminal itself, like the title of its window, with its end.
fn skip_string(rest: &mut std::str::Chars<'_>) {
    if rest.find(|c| matches!(c, '\u{7}' | '\u{9c}' | '\u{1b}')) == Some('\u{1b}') {
        rest.next();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(keep: KeptPart, pieces: &[&str]) -> (String, bool) {
        let mut line = LastLine::new(keep);
        pieces.iter().for_each(|piece| line.take(piece.as_bytes()));
        line.finish()
    }

    #[test]
    fn a_line_is_what_a_terminal_shows_of_it() {
        for (bytes, text) in [
            ("plain", "plain"),
            ("no end\r", "no end"),
            ("10%\r 50%\r100% done", "100% done"),
            ("downloading 10%\rfailed\u{1b}[K", "failed"),
            ("downloading\rfailed", "failedading"),
            ("\u{1b}[1;31mERROR\u{1b}[0m: \u{7}no space", "ERROR: no space"),
            ("\u{1b}]0;title\u{7}a\u{1b}]8;;https://x\u{1b}\\b\u{1b}]8;;\u{1b}\\", "ab"),
            ("\u{1b}(Ba\u{1b}=b\u{1b}7c", "abc"),
            ("abd\u{8}c", "abc"),
            ("abc\u{1b}[2Dx", "axc"),
            ("abc\u{1b}[1Gx", "xbc"),
            ("abc\u{1b}[2K\rd", "d"),
            ("a\u{1b}[3Cb", "a   b"),
            ("abc\r\u{1b}[Px", "xc"),
            ("a\tb", "a       b"),
            ("a\0\u{1}\u{7f}b\u{85}c", "abc"),
            ("\u{9b}31mred\u{9d}title\u{9c}!", "red!"),
            ("naïve \u{1b}[1m日本\u{1b}[m", "naïve 日本"),
            ("\u{1b}[999999999999Cx\u{1b}[", "x"),
            ("\u{1b}[?25l\u{1b}[0m", ""),
        ] {
            assert_eq!(shown(bytes.as_bytes()), text, "{bytes:?}");
        }
        assert_eq!(shown(b"a\xffb"), "a\u{fffd}b");
    }

    #[test]
    fn the_last_line_is_the_last_that_shows_anything() {
        let keep = KeptPart::End(100);
        assert_eq!(last(keep, &["a\nb", "c\n\n  \n\u{1b}[0m\r\n"]), ("bc".to_owned(), false));
        assert_eq!(last(keep, &["first\nlast"]).0, "last");
        assert_eq!(last(keep, &[]).0, "");
    }

    #[test]
    fn of_a_line_that_is_too_long_the_end_is_kept_or_the_beginning() {
        let pieces: Vec<String> = (0..1_000).map(|n| format!("{n:04} ü\u{1b}[0m")).collect();
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let (text, is_cut) = last(KeptPart::End(20), &pieces);
        assert!(is_cut && text.ends_with("0998 ü0999 ü") && text.len() <= 20, "{text}");
        let (text, is_cut) = last(KeptPart::Beginning(6), &pieces);
        assert!(is_cut && text.starts_with("0000 "), "{text}");
        let mut line = LastLine::new(KeptPart::End(10));
        (0..10_000).for_each(|_| line.take(b"progress\r"));
        assert!(line.current.bytes.len() <= 40, "a line without an end takes no more and more memory");
        line.take(b"\x1b[Kout of memory");
        assert_eq!(line.finish(), ("of memory".to_owned(), true));
    }
}
