//! The file of one log: a line that tells how much was cut off the beginning, then the bytes as they came.
//!
//! Nothing about a log is kept elsewhere, and the file is opened for each piece. So a torn write costs the rest of its
//! piece: the length of the file says where the writer goes on.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use flowlord_messages::logs::{AppendedLog, LogText};

use crate::clean::clean_text;

const MARK: &str = "flowlord-log ";
const HEAD_BYTES: u64 = 32;

/// A line without an end is shown once it is so long.
const LONGEST_LINE_PART: usize = 8 * 1024;

/// Where the first part of a line is cut off, its rest is skipped up to so many bytes.
const MAX_SKIPPED: usize = 4 * 1024;

#[derive(Debug)]
struct LogFile {
    file: File,
    /// How many bytes were cut off.
    cut: u64,
    kept: u64,
}

impl LogFile {
    /// Opens a log that is there; one without a whole head counts as none.
    fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = match OpenOptions::new().read(true).append(true).open(path) {
            Ok(file) => file,
            Err(err) if err.kind() == ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(err),
        };
        let mut head = [0; HEAD_BYTES as usize];
        match file.read_exact_at(&mut head, 0) {
            Ok(()) => {}
            Err(err) if err.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(err) => return Err(err),
        }
        let Some(cut) = read_head(&head) else { return Ok(None) };
        let kept = file.metadata()?.len() - HEAD_BYTES;
        Ok(Some(Self { file, cut, kept }))
    }

    fn end(&self) -> u64 {
        self.cut + self.kept
    }

    /// What is kept from some place on.
    fn read_from(&mut self, start: u64) -> io::Result<Vec<u8>> {
        self.file.seek(SeekFrom::Start(HEAD_BYTES + (start - self.cut)))?;
        let mut bytes = Vec::new();
        // What comes while this is read belongs to the next part.
        (&self.file).take(self.end() - start).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

fn read_head(head: &[u8]) -> Option<u64> {
    std::str::from_utf8(head).ok()?.strip_prefix(MARK)?.strip_suffix('\n')?.parse().ok()
}

fn write_new(path: &Path, cut: u64, parts: &[&[u8]]) -> io::Result<()> {
    let mut bytes = format!("{MARK}{cut:018}\n").into_bytes();
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    // Renamed when it is whole: a crash leaves the log as it was.
    let draft = path.with_extension("new");
    std::fs::write(&draft, bytes)?;
    std::fs::rename(draft, path)
}

/// Appends a piece that comes after `offset` bytes. Keeps the last `most` bytes at least, and twice as many at most.
pub(crate) fn append_piece(path: &Path, offset: u64, piece: &[u8], most: u64) -> io::Result<AppendedLog> {
    let log = LogFile::open(path)?;
    let end = log.as_ref().map_or(0, LogFile::end);
    if offset != end || piece.is_empty() {
        return Ok(AppendedLog { offset: end, is_taken: offset == end });
    }
    let size = piece.len() as u64;
    match log {
        Some(mut log) if log.kept + size <= 2 * most => log.file.write_all(piece)?,
        None if size <= 2 * most => write_new(path, 0, &[piece])?,
        log => {
            // A part of the piece itself where it is longer than what is kept.
            let (old, new) = (most.saturating_sub(size), size.min(most));
            let mut start = end;
            let mut rest = Vec::new();
            if let Some(mut log) = log {
                start = log.cut.max(end.saturating_sub(old));
                rest = log.read_from(start)?;
            }
            let skipped = size - new;
            write_new(path, start + skipped, &[&rest, &piece[usize::try_from(skipped).unwrap_or(0)..]])?;
        }
    }
    Ok(AppendedLog { offset: end + size, is_taken: true })
}

/// The part of a log after so many bytes, of its last `most` bytes. Only whole lines where it is still written.
pub(crate) fn read_part(path: &Path, after: u64, is_followed: bool, most: u64) -> io::Result<Option<LogText>> {
    let Some(mut log) = LogFile::open(path)? else { return Ok(None) };
    let end = log.end();
    let mut start = after.clamp(log.cut.max(end.saturating_sub(most)), end);
    let mut bytes = log.read_from(start)?;
    if is_followed {
        bytes.truncate(whole_lines(&bytes));
    }
    let end = start + bytes.len() as u64;
    // What is left of a line, of a sequence or of a character says nothing.
    if start > after
        && let Some(skipped) = bytes.iter().take(MAX_SKIPPED).position(|byte| *byte == b'\n')
    {
        bytes.drain(..=skipped);
        start += skipped as u64 + 1;
    }
    Ok(Some(LogText { text: clean_text(&bytes), start, end }))
}

/// How many bytes of a text are whole lines.
fn whole_lines(bytes: &[u8]) -> usize {
    let is_end = |at: &usize| match bytes[*at] {
        b'\n' => true,
        // At the end it may be half of a line's end.
        b'\r' => at + 1 < bytes.len(),
        _ => false,
    };
    match (0..bytes.len()).rev().find(is_end) {
        Some(at) => at + 1,
        None if bytes.len() < LONGEST_LINE_PART => 0,
        // Not within a sequence or a character.
        None => bytes.iter().rposition(u8::is_ascii_alphanumeric).unwrap_or(bytes.len()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;

    const MOST: u64 = 100;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        (folder, path)
    }

    fn append(path: &Path, offset: u64, piece: &str) -> AppendedLog {
        append_piece(path, offset, piece.as_bytes(), MOST).unwrap()
    }

    fn read(path: &Path) -> LogText {
        read_part(path, 0, false, MOST).unwrap().unwrap()
    }

    fn taken(offset: u64) -> AppendedLog {
        AppendedLog { offset, is_taken: true }
    }

    #[test]
    fn pieces_are_put_together_and_a_wrong_offset_is_told_the_right_one() {
        let (_folder, path) = place();
        assert_eq!(append(&path, 5, "no"), AppendedLog { offset: 0, is_taken: false });
        assert!(!path.exists() && read_part(&path, 0, false, MOST).unwrap().is_none());
        assert_eq!((append(&path, 0, "a\x1b[3"), append(&path, 4, "1mred\n")), (taken(4), taken(10)));
        for wrong in [0, 4, 11] {
            assert_eq!(append(&path, wrong, "no"), AppendedLog { offset: 10, is_taken: false });
        }
        assert_eq!(append(&path, 10, ""), taken(10), "an empty piece asks");
        assert_eq!(read(&path), LogText { text: "a\x1b[31mred\n".to_owned(), start: 0, end: 10 });
    }

    #[test]
    fn a_torn_write_costs_the_rest_of_its_piece_and_a_torn_head_the_log() {
        let (_folder, path) = place();
        append(&path, 0, "first\nsecond\n");
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(HEAD_BYTES + 8).unwrap();
        assert_eq!(read(&path).text, "first\nse");
        assert_eq!(append(&path, 13, "third"), AppendedLog { offset: 8, is_taken: false });
        assert_eq!(append(&path, 8, "cond\n"), taken(13));
        file.set_len(HEAD_BYTES - 1).unwrap();
        assert!(read_part(&path, 0, false, MOST).unwrap().is_none());
        assert_eq!((append(&path, 0, "new\n"), read(&path).text.as_str()), (taken(4), "new\n"));
    }

    #[test]
    fn of_a_long_log_the_end_is_kept() {
        let (_folder, path) = place();
        let lines: Vec<String> = (0..1_000).map(|n| format!("line {n:04}\n")).collect();
        let end = lines.iter().fold(0, |offset, line| append(&path, offset, line).offset);
        assert_eq!(end, 10_000);
        let size = std::fs::metadata(&path).unwrap().len();
        assert!(size <= HEAD_BYTES + 2 * MOST, "{size}");
        let part = read(&path);
        assert_eq!((part.text.as_str(), part.start, part.end), (lines[991..].concat().as_str(), 9_910, end));
        append(&path, end, &"x".repeat(1_000));
        assert_eq!(read(&path), LogText { text: "x".repeat(100), start: 10_900, end: 11_000 });
    }

    #[test]
    fn who_follows_gets_whole_lines() {
        let (_folder, path) = place();
        let follow = |after| read_part(&path, after, true, 100_000).unwrap().unwrap();
        append(&path, 0, "one\ntwo\r");
        assert_eq!(follow(0), LogText { text: "one\n".to_owned(), start: 0, end: 4 });
        append(&path, 8, "\nthree\rfo");
        assert_eq!(follow(4), LogText { text: "two\nthree\n".to_owned(), start: 4, end: 15 });
        assert_eq!(follow(15), LogText { text: String::new(), start: 15, end: 15 });
        append_piece(&path, 17, "\u{e9}".repeat(5_000).as_bytes(), 100_000).unwrap();
        append_piece(&path, 10_017, b"end\xc3", 100_000).unwrap();
        let long = follow(15);
        assert!(long.text.starts_with("fo\u{e9}") && long.text.ends_with("\u{e9}en"), "{}", long.end);
    }

    proptest! {
        #[test]
        fn however_it_is_cut_into_pieces_the_end_of_the_text_is_kept(
            pieces in prop::collection::vec("[a-z\n]{0,150}", 0..20),
        ) {
            let (_folder, path) = place();
            pieces.iter().fold(0, |offset, piece| append(&path, offset, piece).offset);
            let all = pieces.concat();
            let kept = read_part(&path, 0, false, MOST).unwrap().unwrap_or_default();
            prop_assert!(all.ends_with(&kept.text));
            prop_assert_eq!((kept.end, kept.end - kept.start), (all.len() as u64, kept.text.len() as u64));
            prop_assert!(kept.text.len() == all.len() || all.len() as u64 > MOST);
        }
    }
}
