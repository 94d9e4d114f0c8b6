//! Addresses that hold a token: `/hooks/{token}/…`. Who sees such an address can use it, so nothing shows one.

use std::borrow::Cow;

pub fn token(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/hooks/")?;
    Some(rest.split_once('/').map_or(rest, |(token, _)| token))
}

pub fn shown(path: &str) -> Cow<'_, str> {
    match token(path) {
        Some(token) => {
            let rest = path.get("/hooks/".len() + token.len()..).unwrap_or_default();
            Cow::Owned(format!("/hooks/…{rest}"))
        }
        None => Cow::Borrowed(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_and_never_shown() {
        for (path, found, masked) in [
            ("/hooks/flw_1/files", Some("flw_1"), "/hooks/…/files"),
            ("/hooks/flw_1", Some("flw_1"), "/hooks/…"),
            ("/hooks/flw_1/a/b?c", Some("flw_1"), "/hooks/…/a/b?c"),
            ("/hooks//files", Some(""), "/hooks/…/files"),
            ("/hooks", None, "/hooks"),
            ("/api/v1/hooks/x", None, "/api/v1/hooks/x"),
        ] {
            assert_eq!((token(path), &*shown(path)), (found, masked), "{path}");
        }
    }
}
