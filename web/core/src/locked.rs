//! A value that requests share.

use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
pub struct Locked<T>(Mutex<T>);

impl<T> Locked<T> {
    pub fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        // No holder leaves the value half changed, so a request that panicked under the lock fails alone.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
