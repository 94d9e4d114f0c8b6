//! Signals to the program as a process: what stops in order, what is read again.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::process::{PATIENCE, Server, flowlord, serve};

fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[actix::test]
async fn a_hangup_reloads_the_workflows_and_the_service_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = serve(folder.path());
    command.env("RUST_LOG", "flowlord=info").stderr(Stdio::piped());
    let mut server = Server::of(command).await;
    let mut log = BufReader::new(server.stderr()).lines();
    for _ in 0..2 {
        send(server.pid(), Signal::HUP);
        let reloaded = async {
            while let Some(line) = log.next_line().await.unwrap() {
                if line.contains("event=reloaded signal=SIGHUP") {
                    return true;
                }
            }
            false
        };
        assert!(tokio::time::timeout(PATIENCE, reloaded).await.expect("it reloads"), "it goes on");
    }
    server.api.get("/readyz").await.ok();
    let announced = folder.path().join("data/service.json");
    assert!(announced.exists());
    tokio::spawn(async move { while log.next_line().await.is_ok_and(|line| line.is_some()) {} });
    send(server.pid(), Signal::QUIT);
    assert!(server.ended().await.success(), "SIGQUIT stops in order");
    assert!(!announced.exists());
}

#[actix::test]
async fn a_demo_ends_in_order_with_its_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = flowlord(folder.path(), &["demo", "--listen", "127.0.0.1:0"]);
    command.env("TMPDIR", folder.path()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut demo = command.spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().expect("a line");
    send(demo.id().unwrap(), Signal::HUP);
    assert!(tokio::time::timeout(PATIENCE, demo.wait()).await.expect("it ends").unwrap().success());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "its data went with it");
}
