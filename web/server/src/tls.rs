//! TLS with a certificate that may be renewed while the service runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use flowlord_domain::bom;
use flowlord_kernel::Locked;
use flowlord_web_core::context::TlsFiles;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// How long a certificate is used before its files are looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{path}: {source}; write the path of a PEM file that the service may read")]
    File { path: PathBuf, source: pem::Error },
    #[error("{0}: the file has no certificate; write the path of a PEM file with one")]
    Empty(PathBuf),
    #[error("{cert} with {key}: {source}; the key must be that of the first certificate")]
    Pair { cert: PathBuf, key: PathBuf, source: rustls::Error },
    #[error("TLS can't be used: {0}")]
    Tls(#[from] rustls::Error),
}

impl TlsError {
    fn of_file(path: &Path, source: pem::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }
}

pub(crate) fn config(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let renewing = RenewedCertificate::load(files)?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(renewing));
    Ok(config)
}

#[derive(Debug)]
struct RenewedCertificate {
    files: TlsFiles,
    current: Locked<CurrentCertificate>,
}

#[derive(Debug)]
struct CurrentCertificate {
    certified: Arc<CertifiedKey>,
    changed: Changed,
    looked: Instant,
}

type Changed = [Option<SystemTime>; 2];

impl RenewedCertificate {
    fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let (changed, certified) = (changed_at(files), Arc::new(load_certified(files)?));
        let current = Locked::new(CurrentCertificate { certified, changed, looked: Instant::now() });
        Ok(Self { files: files.clone(), current })
    }

    fn renew_changed(&self, current: &mut CurrentCertificate) {
        current.looked = Instant::now();
        let changed = changed_at(&self.files);
        if changed == current.changed {
            return;
        }
        match load_certified(&self.files) {
            Ok(certified) => {
                log::info!("event=certificate_renewed path={:?}", self.files.cert);
                (current.certified, current.changed) = (Arc::new(certified), changed);
            }
            // As between the renewal of its two files. The times stay those of the old one, so it is tried again.
            Err(err) => log::warn!("event=certificate_not_renewed error=\"{err}\""),
        }
    }
}

impl ResolvesServerCert for RenewedCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut current = self.current.lock();
        // Only here: without a handshake nobody needs a newer one.
        if current.looked.elapsed() >= LOOK_AGAIN {
            self.renew_changed(&mut current);
        }
        Some(Arc::clone(&current.certified))
    }
}

fn changed_at(files: &TlsFiles) -> Changed {
    [&files.cert, &files.key].map(|path| path.metadata().and_then(|metadata| metadata.modified()).ok())
}

fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|err| TlsError::of_file(path, pem::Error::Io(err)))
}

fn load_certified(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let (cert, key) = (read_file(&files.cert)?, read_file(&files.key)?);
    let chain = CertificateDer::pem_slice_iter(bom::skip_bytes(&cert));
    let chain: Vec<_> = chain.collect::<Result<_, _>>().map_err(|source| TlsError::of_file(&files.cert, source))?;
    if chain.is_empty() {
        return Err(TlsError::Empty(files.cert.clone()));
    }
    let key =
        PrivateKeyDer::from_pem_slice(bom::skip_bytes(&key)).map_err(|source| TlsError::of_file(&files.key, source))?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|source| TlsError::Pair {
        cert: files.cert.clone(),
        key: files.key.clone(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey as Made, generate_simple_self_signed};

    use super::*;

    fn files(folder: &Path) -> TlsFiles {
        TlsFiles { cert: folder.join("cert.pem"), key: folder.join("key.pem") }
    }

    fn made() -> Made<rcgen::KeyPair> {
        generate_simple_self_signed(["flow.example.org".to_owned()]).unwrap()
    }

    fn write(files: &TlsFiles, made: &Made<rcgen::KeyPair>) {
        std::fs::write(&files.cert, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    }

    #[test]
    fn a_byte_order_mark_before_the_files_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let (files, made) = (files(folder.path()), made());
        std::fs::write(&files.cert, format!("\u{feff}{}", made.cert.pem())).unwrap();
        std::fs::write(&files.key, format!("\u{feff}{}", made.signing_key.serialize_pem())).unwrap();
        assert_eq!(load_certified(&files).unwrap().cert[0], *made.cert.der());
    }

    #[test]
    fn a_renewed_certificate_counts_when_both_files_fit() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        let (old, new) = (made(), made());
        write(&files, &old);
        let renewing = RenewedCertificate::load(&files).unwrap();
        // Changed within the same instant of the file system's clock it would look the same.
        renewing.current.lock().changed = [None, None];
        let served = |renewing: &RenewedCertificate| renewing.current.lock().certified.cert[0].clone();
        std::fs::write(&files.cert, new.cert.pem()).unwrap();
        renewing.renew_changed(&mut renewing.current.lock());
        assert_eq!(served(&renewing), *old.cert.der(), "its key isn't there yet");
        write(&files, &new);
        renewing.renew_changed(&mut renewing.current.lock());
        assert_eq!(served(&renewing), *new.cert.der());
    }

    #[test]
    fn files_that_can_not_be_used_are_named_with_what_to_write() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        let said = || config(&files).map(drop).unwrap_err().to_string();
        assert!(said().contains("cert.pem") && said().contains("write the path of a PEM file"), "{}", said());
        write(&files, &made());
        config(&files).unwrap();
        std::fs::write(&files.key, made().signing_key.serialize_pem()).unwrap();
        assert!(said().contains("the key must be that of the first certificate"), "{}", said());
        std::fs::write(&files.cert, "no certificate").unwrap();
        assert!(said().contains("the file has no certificate"), "{}", said());
    }
}
