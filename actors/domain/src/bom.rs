//! The byte order mark that some editors and spreadsheets put before a text. One is no part of it.

const MARK: &str = "\u{feff}";

/// A text without the mark at its beginning.
pub fn skip_mark(text: &str) -> &str {
    text.strip_prefix(MARK).unwrap_or(text)
}

/// The bytes of a text without the mark at its beginning.
pub fn skip_bytes(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(MARK.as_bytes()).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mark_at_the_beginning_is_skipped_and_no_other() {
        for (text, skipped) in
            [("\u{feff}a", "a"), ("a\u{feff}", "a\u{feff}"), ("\u{feff}\u{feff}", "\u{feff}"), ("", "")]
        {
            assert_eq!(skip_mark(text), skipped);
            assert_eq!(skip_bytes(text.as_bytes()), skipped.as_bytes());
        }
    }
}
