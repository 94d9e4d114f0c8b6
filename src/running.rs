//! Where a running service can be reached, for commands that work on its data.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What `service.json` in the data folder says.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// The address of its API, for programs of this machine.
    pub server: String,
    pub pid: u32,
    /// A token that is good while it runs, for those who may read the data folder.
    pub token: String,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("server", &self.server).field("pid", &self.pid).finish_non_exhaustive()
    }
}

/// The address by which programs of this machine reach a service.
pub(crate) fn local_address(listens: SocketAddr) -> SocketAddr {
    // One can listen on 0.0.0.0, and not connect to it everywhere.
    match listens {
        SocketAddr::V4(_) if listens.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, listens.port()).into(),
        SocketAddr::V6(_) if listens.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, listens.port()).into(),
        _ => listens,
    }
}

/// Removes the file when it is dropped.
#[derive(Debug)]
pub(crate) struct ServiceFile(PathBuf);

fn service_file(data: &Path) -> PathBuf {
    data.join("service.json")
}

impl Running {
    /// Writes where the service of a data folder is, until the answer is dropped.
    pub(crate) fn announce(data: &Path, address: SocketAddr, scheme: &str, token: &str) -> io::Result<ServiceFile> {
        let local = local_address(address);
        let running = Self { server: format!("{scheme}://{local}"), pid: std::process::id(), token: token.to_owned() };
        let path = service_file(data);
        // Renamed, so that nobody reads half of it.
        let partial = path.with_extension("json.partial");
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        // It holds a token, which only the user of the service may read.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&partial)?.write_all(&serde_json::to_vec(&running)?)?;
        std::fs::rename(&partial, &path)?;
        Ok(ServiceFile(path))
    }

    /// The service that last used a data folder; whether it still runs is told by the folder's lock.
    pub fn of(data: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(service_file(data))?)?)
    }
}

impl Drop for ServiceFile {
    fn drop(&mut self) {
        // One that is left says where nobody listens, which the lock contradicts.
        let _best_effort = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_as_long_as_the_service_and_says_an_address_of_this_machine() {
        let data = tempfile::tempdir().unwrap();
        let announced = Running::announce(data.path(), "0.0.0.0:8080".parse().unwrap(), "http", "flw_x").unwrap();
        let running = Running::of(data.path()).unwrap();
        assert_eq!((running.server.as_str(), running.pid), ("http://127.0.0.1:8080", std::process::id()));
        assert_eq!(running.token, "flw_x");
        #[cfg(unix)]
        {
            let mode =
                std::os::unix::fs::PermissionsExt::mode(&service_file(data.path()).metadata().unwrap().permissions());
            assert_eq!(mode & 0o777, 0o600, "only its owner reads the token");
        }
        drop(announced);
        assert!(Running::of(data.path()).is_err());
    }
}
