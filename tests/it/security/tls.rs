//! HTTPS by the service itself, with a certificate that is renewed while it runs.

use std::path::Path;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use reqwest::{Certificate, Client};

use crate::process::{flowlord, refused, serve};

fn renew(folder: &Path) -> CertifiedKey<KeyPair> {
    let made = generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    made
}

fn trusting(made: &CertifiedKey<KeyPair>) -> Client {
    let _another_test_was_first = rustls::crypto::ring::default_provider().install_default();
    let root = Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    // Each request shakes hands anew.
    Client::builder().tls_certs_only([root]).pool_max_idle_per_host(0).build().unwrap()
}

#[actix::test]
async fn it_is_spoken_to_by_https_also_after_a_renewal() {
    use tokio::io::{AsyncBufReadExt as _, BufReader};
    let folder = tempfile::tempdir().unwrap();
    let first = renew(folder.path());
    let mut command = serve(folder.path());
    command.args(["--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let base = line.rsplit(' ').next().unwrap().to_owned();
    assert!(base.starts_with("https://127.0.0.1:"), "{line}");
    let health = format!("{base}/healthz");
    assert_eq!(trusting(&first).get(&health).send().await.unwrap().status().as_u16(), 200);
    let plain = reqwest::get(health.replace("https", "http")).await;
    assert!(plain.is_err(), "no plain HTTP on the same port");
    // Commands on this machine find it by its data folder, whatever name the certificate is for.
    let asked = flowlord(folder.path(), &["health", "--ready"]).output().await.unwrap();
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    std::fs::write(folder.path().join("seldom.toml"), "[notify]\nmin_frequency = \"30m\"\n").unwrap();
    let simulate = ["alerts", "simulate", "--policy", "seldom.toml", "--from", "2026-03-01"];
    let until = ["--to", "2026-03-02", "--data", "data"];
    let asked = flowlord(folder.path(), &[&simulate[..], &until[..]].concat()).output().await.unwrap();
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));

    let second = renew(folder.path());
    let client = trusting(&second);
    let renewed = async { while client.get(&health).send().await.is_err() {} };
    tokio::time::timeout(std::time::Duration::from_secs(60), renewed).await.expect("renewed");
    child.kill().await.unwrap();
}

#[actix::test]
async fn a_certificate_without_its_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    renew(folder.path());
    let mut alone = serve(folder.path());
    alone.args(["--tls-cert", "cert.pem"]);
    let said = refused(alone).await;
    assert!(said.contains("a certificate needs its key: set tls.key too"), "{said}");
    let mut missing = serve(folder.path());
    missing.args(["--tls-cert", "nowhere.pem", "--tls-key", "key.pem"]);
    let said = refused(missing).await;
    assert!(said.contains("nowhere.pem") && said.contains("write the path of a PEM file"), "{said}");
}
