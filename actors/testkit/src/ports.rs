//! Ports for servers that end and start again at the same address.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::TcpListener;

/// Below those from which systems choose ports for connections, and for servers that take any port: while a server of a
/// test is down, neither gets its port.
const LASTING_PORTS: std::ops::Range<u16> = 10_000..32_000;

/// A port of 127.0.0.1 that is free now, and stays so for the servers of one test.
///
/// # Panics
///
/// When none is free.
#[must_use]
pub fn lasting_port() -> u16 {
    let count = LASTING_PORTS.end - LASTING_PORTS.start;
    // Tests run side by side in many processes: each begins somewhere else.
    let first = RandomState::new().build_hasher().finish() % u64::from(count);
    #[expect(clippy::cast_possible_truncation, reason = "less than the count of ports")]
    let first = first as u16;
    let mut ports = (0..count).map(|nth| LASTING_PORTS.start + (first + nth) % count);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

/// The address of a [`lasting_port`].
///
/// # Panics
///
/// When no port is free.
#[must_use]
pub fn lasting_address() -> String {
    format!("127.0.0.1:{}", lasting_port())
}
