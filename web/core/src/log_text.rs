//! Parts of a log's text.

/// The end of a text, `most` bytes at most: from the beginning of a line where there is one.
pub fn end_of(text: &str, most: usize) -> &str {
    let from = text.len().saturating_sub(most);
    if from == 0 {
        return text;
    }
    // The character before tells whether a line begins here.
    match text.as_bytes()[from - 1..].iter().position(|byte| *byte == b'\n') {
        Some(at) if from + at < text.len() => &text[from + at..],
        _ => &text[text.ceil_char_boundary(from)..],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_text_begins_with_a_line_where_it_can() {
        let text = "one\ntwo\nth\u{e9}\n";
        for (most, end) in
            [(13, text), (12, "two\nth\u{e9}\n"), (9, "two\nth\u{e9}\n"), (8, "th\u{e9}\n"), (2, "\n"), (0, "")]
        {
            assert_eq!(end_of(text, most), end, "{most}");
        }
    }
}
