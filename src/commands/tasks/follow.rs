//! Server-sent events of a log that is followed.

use anyhow::ensure;

/// More than the service puts into one event; what has no end is not an event.
const MAX_EVENT_BYTES: usize = 1_000_000;

/// What came so far of a stream of events.
#[derive(Debug, Default)]
pub(super) struct EventReader {
    /// A line that isn't whole yet.
    torn: Vec<u8>,
    data: String,
    name: String,
    id: Option<String>,
    last_id: Option<String>,
    is_over: bool,
}

impl EventReader {
    /// The texts of the events that end in this piece.
    pub(super) fn push(&mut self, piece: &[u8]) -> anyhow::Result<Vec<String>> {
        let mut texts = Vec::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let is_too_long = self.torn.len() + self.data.len() + part.len() > MAX_EVENT_BYTES;
            ensure!(!is_too_long, "the answer is no log: is --server a flowlord?");
            self.torn.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = String::from_utf8_lossy(&std::mem::take(&mut self.torn)).into_owned();
                texts.extend(self.read_line(line.trim_end_matches(['\n', '\r'])));
            }
        }
        Ok(texts)
    }

    /// The text of an event that this line ends.
    fn read_line(&mut self, line: &str) -> Option<String> {
        if line.is_empty() {
            return self.end_event();
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "event" => value.clone_into(&mut self.name),
            "id" => self.id = Some(value.to_owned()),
            _ => {}
        }
        None
    }

    fn end_event(&mut self) -> Option<String> {
        // An id counts from the end of its event: before, the event would be lost with the connection.
        self.last_id = self.id.take().or_else(|| self.last_id.take());
        let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
        self.is_over |= name == "end";
        // Each line of an event's data ends with a line break of its own, which is not part of the text.
        let text = data.strip_suffix('\n').filter(|_| name.is_empty())?;
        Some(text.to_owned())
    }

    /// Where to go on after a connection that broke.
    pub(super) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Drops what an answer that broke began.
    pub(super) fn forget_torn(&mut self) {
        (self.torn, self.data, self.name, self.id) = (Vec::new(), String::new(), String::new(), None);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str = "retry: 2000\n\n:\n\nid: 5\ndata: é1\ndata:  2\ndata: \n\nid: 9\r\ndata: no end\r\n\r\n\
                          event: other\ndata: x\n\nevent: end\ndata:\n\n";

    proptest! {
        #[test]
        fn events_are_read_however_they_are_torn(at in prop::collection::vec(0..STREAM.len(), 0..6)) {
            let mut cuts = [at, vec![0, STREAM.len()]].concat();
            cuts.sort_unstable();
            let mut reader = EventReader::default();
            let pieces = cuts.windows(2).map(|ends| &STREAM.as_bytes()[ends[0]..ends[1]]);
            let texts: Vec<String> = pieces.flat_map(|piece| reader.push(piece).unwrap()).collect();
            prop_assert_eq!(texts, ["é1\n 2\n", "no end"]);
            prop_assert_eq!((reader.last_id(), reader.is_over()), (Some("9"), true));
        }
    }

    #[test]
    fn an_event_that_broke_off_is_read_anew() {
        let mut reader = EventReader::default();
        assert!(reader.push(b"id: 1\ndata: a\n\nid: 2\ndata: b\nda").unwrap() == ["a"]);
        reader.forget_torn();
        assert_eq!(reader.last_id(), Some("1"));
        assert_eq!(reader.push(b"id: 2\ndata: b\ndata: \n\n").unwrap(), ["b\n"]);
    }

    #[test]
    fn an_answer_without_an_end_is_not_kept() {
        let mut reader = EventReader::default();
        let endless = vec![b'x'; 300_000];
        assert!((0..4).any(|_| reader.push(&endless).is_err()));
    }
}
