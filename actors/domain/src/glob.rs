//! Patterns of paths, as Go's `filepath.Match` reads them: `*` and `?` stay within a folder, `[a-z]` and `[^a-z]`
//! stand for one character, `\` takes the next one literally. There is no `**`.

/// A pattern that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    /// What stands between stars, and whether a star stands before it.
    chunks: Vec<(bool, Vec<GlobItem>)>,
}

/// What stands for one character.
#[derive(Debug, Clone, PartialEq, Eq)]
enum GlobItem {
    Char(char),
    /// Any but a slash.
    Any,
    /// A negated one also stands for a slash, as in Go.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// A class without an end, or without anything in it.
    #[error("`[` in `{0}` opens no class: write one like [a-z] or [^a-z], or \\[ for the character")]
    Class(String),
    /// Nothing follows a backslash.
    #[error("`{0}` ends with a backslash: write \\\\ for the character")]
    Escape(String),
}

impl Glob {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, GlobError> {
        let mut chunks = vec![(false, Vec::new())];
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            let item = match c {
                '*' => {
                    match chunks.last_mut() {
                        Some((star, chunk)) if chunk.is_empty() => *star = true, // two stars in a row are one
                        _ => chunks.push((true, Vec::new())),
                    }
                    continue;
                }
                '?' => GlobItem::Any,
                '[' => read_class(&mut rest).ok_or_else(|| GlobError::Class(text.to_owned()))?,
                '\\' => GlobItem::Char(rest.next().ok_or_else(|| GlobError::Escape(text.to_owned()))?),
                c => GlobItem::Char(c),
            };
            if let Some((_, chunk)) = chunks.last_mut() {
                chunk.push(item);
            }
        }
        Ok(Self { chunks })
    }

    /// Whether all of a path fits.
    pub fn matches(&self, path: &str) -> bool {
        let path: Vec<char> = path.chars().collect();
        let mut rest = path.as_slice();
        let last = self.chunks.len() - 1;
        for (at, (star, chunk)) in self.chunks.iter().enumerate() {
            if *star && chunk.is_empty() {
                return !rest.contains(&'/');
            }
            // The first place where a chunk fits is taken for good: another one is never tried.
            let within = if *star { rest.iter().position(|c| *c == '/').unwrap_or(rest.len()) } else { 0 };
            let mut after = (0..=within).filter_map(|skipped| strip_chunk(&rest[skipped..], chunk));
            match after.find(|rest| rest.is_empty() || at < last) {
                Some(after) => rest = after,
                None => return false,
            }
        }
        rest.is_empty()
    }
}

/// What follows the chunk that `text` begins with.
fn strip_chunk<'a>(text: &'a [char], chunk: &[GlobItem]) -> Option<&'a [char]> {
    let (head, rest) = text.split_at_checked(chunk.len())?;
    let mut pairs = head.iter().zip(chunk);
    let fits = pairs.all(|(c, item)| match item {
        GlobItem::Char(wanted) => c == wanted,
        GlobItem::Any => *c != '/',
        GlobItem::Class { negated, ranges } => ranges.iter().any(|(low, high)| (low..=high).contains(&c)) != *negated,
    });
    fits.then_some(rest)
}

/// Reads a class up to its end.
fn read_class(rest: &mut std::str::Chars<'_>) -> Option<GlobItem> {
    // `!` negates in a shell, but not in Go.
    let negated = rest.as_str().starts_with('^');
    if negated {
        rest.next();
    }
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && rest.as_str().starts_with(']') {
            rest.next();
            return Some(GlobItem::Class { negated, ranges });
        }
        // A class without members ends here: `]` is none.
        let low = read_bound(rest)?;
        let mut high = low;
        if rest.as_str().starts_with('-') {
            rest.next();
            high = read_bound(rest)?;
        }
        ranges.push((low, high));
    }
}

/// One character of a class.
fn read_bound(rest: &mut std::str::Chars<'_>) -> Option<char> {
    match rest.next()? {
        '-' | ']' => None,
        '\\' => rest.next(),
        c => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fits(pattern: &str, path: &str) -> Option<bool> {
        Glob::parse(pattern).ok().map(|glob| glob.matches(path))
    }

    /// Cases of Go's own tests, and of what only a slash shows.
    #[test]
    fn patterns_are_go_s() {
        for (pattern, path, expected) in [
            ("abc", "abc", Some(true)),
            ("*", "abc", Some(true)),
            ("*c", "abc", Some(true)),
            ("a*", "ab/c", Some(false)),
            ("a*/b", "abc/b", Some(true)),
            ("a*/b", "a/c/b", Some(false)),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/f", Some(true)),
            ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", Some(false)),
            ("a*b?c*x", "abxbbxdbxebxczzx", Some(true)),
            ("a*b?c*x", "abxbbxdbxebxczzy", Some(false)),
            ("ab[e-g]", "abc", Some(false)),
            ("ab[^e-g]", "abc", Some(true)),
            ("a\\*b", "a*b", Some(true)),
            ("a\\*b", "ab", Some(false)),
            ("a?b", "a☺b", Some(true)),
            ("a???b", "a☺b", Some(false)),
            ("a[^a][^a][^a]b", "a☺b", Some(false)),
            ("[a-ζ]*", "α", Some(true)),
            ("a?b", "a/b", Some(false)),
            ("a*b", "a/b", Some(false)),
            ("[\\]a]", "]", Some(true)),
            ("[\\-]", "-", Some(true)),
            ("[x\\-]", "z", Some(false)),
            ("[a*]b", "*b", Some(true)),
            ("*x", "xxx", Some(true)),
            ("**", "a", Some(true)),
            ("a**b", "a/b", Some(false)),
            ("[a", "a", None),
            ("[a", "b", None),
            ("[]a]", "]", None),
            ("[-]", "-", None),
            ("[x-]", "x", None),
            ("[a-b-c]", "a", None),
            ("[^", "a", None),
            ("[^bc", "a", None),
            ("a[", "ab", None),
            ("a\\", "a", None),
            ("", "", Some(true)),
            ("", "a", Some(false)),
            // A negated class takes a slash, and what a star took first it keeps.
            ("a[^b]c", "a/c", Some(true)),
            ("*[^a]*b", "x/b", Some(false)),
        ] {
            assert_eq!(fits(pattern, path), expected, "{pattern:?} {path:?}");
        }
    }

    #[test]
    fn what_is_no_pattern_says_what_to_write() {
        let told = |text: &str| Glob::parse(text).unwrap_err().to_string();
        assert!(told("/in/[.txt").contains("write one like [a-z]"));
        assert!(told("/in/\\").contains("write \\\\ for the character"));
    }

    /// The definition, tried in all ways; for patterns without classes that take a slash.
    fn naive(pattern: &[char], path: &[char]) -> bool {
        match (pattern, path) {
            ([], path) => path.is_empty(),
            (['*', rest @ ..], path) => {
                let skip = || matches!(path, [c, ..] if *c != '/') && naive(pattern, &path[1..]);
                naive(rest, path) || skip()
            }
            (['[', low, '-', high, ']', rest @ ..], [c, path @ ..]) => (low..=high).contains(&c) && naive(rest, path),
            (['?', rest @ ..], [c, path @ ..]) => *c != '/' && naive(rest, path),
            (['\\', wanted, rest @ ..] | [wanted, rest @ ..], [c, path @ ..]) => c == wanted && naive(rest, path),
            (_, []) => false,
        }
    }

    proptest! {
        #[test]
        fn it_is_as_defined(
            pattern in "([ab*?/日]|\\[[ab]-[bc]\\]|\\\\[*a]){0,9}", path in "[abc/*日]{0,9}",
        ) {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(fits(&pattern, &path), Some(naive(&chars(&pattern), &chars(&path))));
        }

        #[test]
        fn any_text_is_read(pattern in "[\\[\\]a^*?/\\\\-]{0,12}", path in ".{0,9}") {
            let _ = fits(&pattern, &path);
        }
    }
}
