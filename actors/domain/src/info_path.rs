//! The path of an info that is read as a URL, as Go's `url.Parse` would give it.

use crate::query::unescape_text;

/// The path of a URL; none when the text is no URL.
pub(crate) fn info_path(info: &str) -> Option<String> {
    if info.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return None;
    }
    let (text, fragment) = info.split_once('#').unwrap_or((info, ""));
    unescape_path(fragment)?; // it counts for nothing, but must be readable, as in Go
    let (scheme, rest) = split_scheme(text)?;
    let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
    if !rest.starts_with('/') {
        // With a scheme the rest is opaque; without one its first part must not look like a scheme.
        let first = rest.split('/').next().unwrap_or(rest);
        return match scheme.is_some() {
            true => Some(String::new()),
            false if first.contains(':') => None,
            false => unescape_path(rest),
        };
    }
    match rest.strip_prefix("//").filter(|_| scheme.is_some() || !rest.starts_with("///")) {
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            valid_authority(authority).then(|| unescape_path(path)).flatten()
        }
        None => unescape_path(rest),
    }
}

/// `(scheme, rest)`; none when the scheme is missing before a colon.
fn split_scheme(text: &str) -> Option<(Option<&str>, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c)));
    let Some(end) = end.filter(|end| text[*end..].starts_with(':')) else { return Some((None, text)) };
    match text.chars().next() {
        Some(':') | None => None,
        Some(c) if c.is_ascii_alphabetic() => Some((Some(&text[..end]), &text[end + 1..])),
        Some(_) => Some((None, text)),
    }
}

fn valid_authority(authority: &str) -> bool {
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let user_fits = user.chars().all(|c| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c));
    user_fits && unescape_path(user).is_some() && valid_host(host)
}

fn valid_host(host: &str) -> bool {
    let port = match host.strip_prefix('[') {
        Some(rest) => match rest.rsplit_once(']') {
            Some((_, port)) => port,
            None => return false,
        },
        None => host.rfind(':').map_or("", |colon| &host[colon..]),
    };
    let port_fits =
        port.is_empty() || port.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    port_fits && host.chars().all(|c| !c.is_ascii() || c.is_ascii_alphanumeric() || HOST.contains(c))
}

const HOST: &str = "-_.~!$&'()*+,;=:[]<>\"";

fn unescape_path(text: &str) -> Option<String> {
    unescape_text(text, false).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_go() {
        let cases = [
            ("s3://b/a%2Fb?x=%zz", Some("/a/b")),
            ("?day=1", Some("")),
            ("a/b:c", Some("a/b:c")),
            ("a:b/c", Some("")),
            (":a", None),
            ("1a:b", None),
            ("s3://{b}/c", None),
            ("s3://b:x/c", None),
            ("http://[::1/c", None),
            ("http://[::1]:80/c", Some("/c")),
            ("/a/%zz", None),
            ("///a", Some("///a")),
            ("//h/a", Some("/a")),
        ];
        for (info, path) in cases {
            assert_eq!(info_path(info).as_deref(), path, "{info}");
        }
    }

    #[test]
    fn who_asks_and_which_port_may_stand_before_a_host() {
        for (info, path) in [
            ("s3://user:word@b:80/c", Some("/c")),
            ("s3://us er@b/c", None),
            ("s3://u%zz@b/c", None),
            ("s3://u%20r@b/c", Some("/c")),
            ("s3://b:/c", Some("/c")),
            ("s3://b:8x/c", None),
            ("http://[::1]x/c", None),
            ("s3://b c/d", None),
            ("s3://日/c", Some("/c")),
            ("s3://b", Some("")),
            ("a#%zz", None),
            ("a#%20", Some("a")),
            ("a\tb", None),
            ("a\u{7f}b", None),
            ("+a:b", None),
            ("a+-.1:b", Some("")),
            ("/a:b", Some("/a:b")),
            ("a%2", None),
        ] {
            assert_eq!(info_path(info).as_deref(), path, "{info}");
        }
    }

    #[test]
    fn a_space_may_stand_in_a_path_and_the_end_of_an_escape_not_be_missing() {
        for (info, path) in [
            ("a b", Some("a b")),
            ("a%41b%42", Some("aAbB")),
            ("%zz", None),
            ("a%4", None),
            ("a%", None),
            ("s3://b/%41%20c", Some("/A c")),
        ] {
            assert_eq!(info_path(info).as_deref(), path, "{info}");
        }
    }
}
