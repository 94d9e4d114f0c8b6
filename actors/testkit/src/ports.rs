//! Ports for servers that end and start again at the same address.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::TcpListener;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

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
    /// Tests run side by side in many processes: each begins somewhere else. Within one, no port is given twice: until
    /// its server listens, it seems free.
    static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new(RandomState::new().build_hasher().finish()));
    let count = LASTING_PORTS.end - LASTING_PORTS.start;
    let mut ports = (0..count).map(|_| {
        #[expect(clippy::cast_possible_truncation, reason = "less than the count of ports")]
        let nth = (NEXT.fetch_add(1, Ordering::Relaxed) % u64::from(count)) as u16;
        LASTING_PORTS.start + nth
    });
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let ports: BTreeSet<u16> = (0..500).map(|_| lasting_port()).collect();
        assert!(ports.len() == 500 && ports.iter().all(|port| LASTING_PORTS.contains(port)));
    }
}
