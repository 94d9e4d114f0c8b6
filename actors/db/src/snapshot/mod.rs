//! Copies of the database: made, checked, and put in its place.

pub(crate) mod copy;
pub(crate) mod error;
pub(crate) mod lower_priority;
pub(crate) mod restore;
pub(crate) mod verify;
