//! Output that comes in pieces, line by line.

use std::collections::VecDeque;

/// No line is kept beyond this: meta has at most 8 MiB, and escapes.
const MAX_LINE_BYTES: usize = 20 * 1024 * 1024;

/// Divides output into lines. Of a longer one, which no answer can be, the beginning counts.
#[derive(Debug, Default)]
pub(super) struct LineSplitter {
    current: Vec<u8>,
    whole: VecDeque<Vec<u8>>,
}

impl LineSplitter {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            let room = MAX_LINE_BYTES - self.current.len();
            self.current.extend_from_slice(&text[..text.len().min(room)]);
            if text.len() < piece.len() {
                self.whole.push_back(std::mem::take(&mut self.current));
            }
        }
    }

    /// The next line that is whole.
    pub(super) fn next_line(&mut self) -> Option<Vec<u8>> {
        self.whole.pop_front()
    }

    /// Takes what has no end yet as a line: nothing follows it.
    pub(super) fn end(&mut self) {
        if !self.current.is_empty() {
            self.add(b"\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut splitter = LineSplitter::default();
        pieces.iter().for_each(|piece| splitter.add(piece));
        splitter.end();
        std::iter::from_fn(|| splitter.next_line()).collect()
    }

    proptest! {
        #[test]
        fn lines_are_the_same_however_they_come(text in "[ab\n]{0,40}", at in 0_usize..40) {
            let (first, second) = text.as_bytes().split_at(at.min(text.len()));
            let lines: Vec<_> = text.lines().map(|line| line.as_bytes().to_vec()).collect();
            prop_assert_eq!(split(&[first, second]), lines);
        }
    }

    #[test]
    fn a_line_is_bounded_and_the_next_one_whole() {
        let long = vec![b'x'; MAX_LINE_BYTES];
        let lines = split(&[&long, b"xx", b"x\nnext"]);
        assert_eq!((lines[0].len(), lines[1].as_slice()), (MAX_LINE_BYTES, &b"next"[..]));
    }
}
