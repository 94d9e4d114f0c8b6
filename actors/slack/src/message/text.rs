//! Text as Slack wants it: escaped, within its limits, and honest about what is left out.
//!
//! Lengths are in UTF-16 units: never less than what Slack counts.

// Slack's bound for the text of a section is 3,000 characters; the fence takes some.
pub(super) const SECTION_CHARS: usize = 2_900;

// Slack takes 50 blocks, but not of this size: about 13,000 characters in all.
const MAX_SECTIONS: usize = 3;

#[derive(Debug, Default)]
pub(super) struct LineChunk {
    pub(super) text: String,
    pub(super) lines: usize,
    /// Characters once it is escaped, with a line end after each line.
    size: usize,
}

impl LineChunk {
    fn push(&mut self, line: &str, size: usize) {
        if self.lines > 0 {
            self.text.push('\n');
        }
        self.text.push_str(line);
        self.lines += 1;
        self.size += size;
    }
}

/// Lines in as many sections as fit, and how many are left out.
pub(super) fn chunk_lines(lines: &[String]) -> (Vec<LineChunk>, usize) {
    let mut chunks: Vec<LineChunk> = Vec::new();
    for (done, line) in lines.iter().enumerate() {
        // A fence within would end the one around it, and a line end would make two lines of one.
        let line = shorten_escaped(&line.replace("```", "'''").replace(['\r', '\n'], " "), SECTION_CHARS - 1);
        let size = escaped_length(&line) + 1;
        if chunks.last().is_none_or(|chunk| chunk.size + size > SECTION_CHARS) {
            if chunks.len() == MAX_SECTIONS {
                return (chunks, lines.len() - done);
            }
            chunks.push(LineChunk::default());
        }
        if let Some(chunk) = chunks.last_mut() {
            chunk.push(&line, size);
        }
    }
    (chunks, 0)
}

/// How many lines are left out, in words.
pub(super) fn more_lines(left_out: usize) -> Option<String> {
    (left_out > 0).then(|| format!("… and {left_out} more line{}", if left_out == 1 { "" } else { "s" }))
}

/// The text, or its beginning and an ellipsis, so that escaped it has at most `limit` characters.
pub(super) fn shorten_escaped(text: &str, limit: usize) -> String {
    clip_to(text, limit, escaped)
}

/// The text, or its beginning and an ellipsis, of at most `limit` characters as it is.
pub(super) fn cut_unescaped(text: &str, limit: usize) -> String {
    clip_to(text, limit, char::len_utf16)
}

fn clip_to(text: &str, limit: usize, size: impl Fn(char) -> usize) -> String {
    if text.chars().map(&size).sum::<usize>() <= limit {
        return text.to_owned();
    }
    // One is the ellipsis.
    let mut left = limit - 1;
    let kept = text.chars().take_while(|c| {
        let fits = size(*c) <= left;
        left = if fits { left - size(*c) } else { 0 };
        fits
    });
    format!("{}…", kept.collect::<String>())
}

fn escaped(c: char) -> usize {
    match c {
        '&' => 5,
        '<' | '>' => 4,
        _ => c.len_utf16(),
    }
}

fn escaped_length(text: &str) -> usize {
    text.chars().map(escaped).sum()
}

/// The three characters that Slack's text gives a meaning.
pub(super) fn escape_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Whether Slack makes a link of it, and it leaves room for what is said beside it.
pub(super) fn is_link(link: &str) -> bool {
    let web = link.starts_with("http://") || link.starts_with("https://");
    // In the text it is escaped, and under a button it is percent-encoded, three characters a byte.
    web && link.len().max(escaped_length(link)) <= 1_000
        && !link.contains(|c: char| c.is_whitespace() || c.is_control() || "|<>".contains(c))
}
