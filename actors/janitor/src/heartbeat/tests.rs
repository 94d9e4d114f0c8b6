//! A watcher on a local port, and actors that are well or aren't.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::{Actor, Arbiter, Handler};
use flowlord_kernel::{Code, Error, Pong, WorkCounter};
use flowlord_testkit::VirtualClock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;

/// An actor that is well as long as it says so.
struct Neighbour(Arc<AtomicBool>);

impl Actor for Neighbour {
    type Context = Context<Self>;
}

impl Handler<Ping> for Neighbour {
    type Result = flowlord_kernel::Result<Pong>;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> flowlord_kernel::Result<Pong> {
        match self.0.load(Ordering::SeqCst) {
            true => Ok(Pong { restarts: 0 }),
            false => Err(Error::new(Code::Storage, "planned")),
        }
    }
}

/// Answers each request with 200 and tells its first line.
async fn watcher() -> (String, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/ping/secret", listener.local_addr().unwrap());
    let (told, heard) = mpsc::unbounded_channel();
    actix::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.unwrap();
            let line = String::from_utf8_lossy(&request[..read]).lines().next().unwrap_or_default().to_owned();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            told.send(line).unwrap();
        }
    });
    (url, heard)
}

fn noon() -> DateTime<Utc> {
    "2026-03-10T12:00:00Z".parse().unwrap()
}

#[actix::test]
async fn the_watcher_hears_every_minute_while_all_is_well_and_nothing_else() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (url, mut heard) = watcher().await;
    let clock = VirtualClock::new(noon(), WorkCounter::default());
    let well = Arc::new(AtomicBool::new(true));
    let arbiter = Arbiter::new();
    let neighbour = Neighbour(Arc::clone(&well));
    let neighbour = Neighbour::start_in_arbiter(&arbiter.handle(), |_| neighbour);
    let environment = clock.environment();
    let deps = Deps { kit: environment.kit("deadman"), pings: vec![environment.port("db", &neighbour)] };
    let config = Config { url, every: TimeDelta::minutes(1) };
    assert!(!format!("{config:?}").contains("secret"));
    let _deadman = HeartbeatSender::start(&arbiter.handle(), config, deps).unwrap();
    assert_eq!(heard.recv().await.unwrap(), "GET /ping/secret HTTP/1.1");
    clock.advance(TimeDelta::minutes(2)).await;
    assert_eq!(heard.recv().await.as_deref(), heard.recv().await.as_deref());
    well.store(false, Ordering::SeqCst);
    clock.advance(TimeDelta::minutes(5)).await;
    assert!(heard.try_recv().is_err(), "silence is what the watcher listens for");
    well.store(true, Ordering::SeqCst);
    clock.advance(TimeDelta::minutes(1)).await;
    assert!(heard.recv().await.is_some());
}
