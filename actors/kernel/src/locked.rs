//! A value that threads share.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A mutex that a panic under its lock leaves usable.
#[derive(Debug, Default)]
pub struct Locked<T>(Mutex<T>);

impl<T> Locked<T> {
    /// Shares `value`.
    pub const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Waits until no other thread has the value.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        // No holder leaves the value half changed, so what panicked under the lock fails alone.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
