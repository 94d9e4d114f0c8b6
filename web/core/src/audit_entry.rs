//! What a handler adds to the entry of its request in the audit log.

use std::cell::RefCell;
use std::rc::Rc;

use actix_web::{HttpMessage as _, HttpRequest};

/// Of the path, and of the body.
const MAX_CHARS: usize = 1_000;

/// An entry that is being written.
#[derive(Debug, Clone, Default)]
// Shared by the middleware that stores it and the extensions of the request, where handlers find it.
pub struct AuditEntry(Rc<RefCell<AuditNotes>>);

#[derive(Debug, Default)]
pub struct AuditNotes {
    /// The body of the request.
    pub detail: String,
    pub nothing_changed: bool,
}

impl AuditEntry {
    pub fn note(request: &HttpRequest, body: &[u8]) {
        Self::change(request, |notes| notes.detail = shortened(&String::from_utf8_lossy(body)));
    }

    /// Says that the request was only a question, like a dry run.
    pub fn nothing_changed(request: &HttpRequest) {
        Self::change(request, |notes| notes.nothing_changed = true);
    }

    fn change(request: &HttpRequest, change: impl FnOnce(&mut AuditNotes)) {
        // There is none where the route isn't audited, or a worker asks.
        if let Some(Self(notes)) = request.extensions().get() {
            change(&mut notes.borrow_mut());
        }
    }

    pub fn take(self) -> AuditNotes {
        self.0.take()
    }
}

pub fn shortened(text: &str) -> String {
    // In characters, so that none is cut in half.
    let mut shown: String = text.trim().chars().take(MAX_CHARS).collect();
    if shown.len() < text.trim().len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_body_is_shortened_and_says_so() {
        assert_eq!(shortened(" {\"a\":1}\n"), "{\"a\":1}");
        let long = shortened(&"é".repeat(MAX_CHARS + 1));
        assert_eq!((long.chars().count(), long.ends_with('…')), (MAX_CHARS + 1, true));
    }
}
