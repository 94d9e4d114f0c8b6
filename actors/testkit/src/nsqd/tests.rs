use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::*;

/// A client that blocks, byte by byte.
struct Client(TcpStream);

impl Client {
    fn connect(nsqd: &FakeNsqd, heartbeat_millis: i32) -> Self {
        let mut client = Self(TcpStream::connect(nsqd.address()).unwrap());
        client.0.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let identity = format!("{{\"heartbeat_interval\":{heartbeat_millis}}}");
        client.send(b"  V2IDENTIFY\n");
        client.send_sized(identity.as_bytes());
        assert!(client.frame().unwrap().1.starts_with(b"{"));
        client
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    fn send_sized(&mut self, body: &[u8]) {
        self.send(&u32::try_from(body.len()).unwrap().to_be_bytes());
        self.send(body);
    }

    /// The next frame that is no heartbeat; none when nsqd hung up.
    fn frame(&mut self) -> Option<(i32, Vec<u8>)> {
        loop {
            let mut head = [0; 8];
            self.0.read_exact(&mut head).ok()?;
            let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
            let mut data = vec![0; number(&head[..4]) as usize - 4];
            self.0.read_exact(&mut data).ok()?;
            if data != b"_heartbeat_" {
                return Some((i32::try_from(number(&head[4..])).unwrap(), data));
            }
            self.send(b"NOP\n");
        }
    }

    fn publish(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        self.send(b"PUB t\n");
        self.send_sized(body);
        self.frame().map(|(_, data)| data)
    }

    fn subscribe(&mut self) {
        self.send(b"SUB t c\n");
        assert_eq!(self.frame().unwrap().1, b"OK");
        self.send(b"RDY 1\n");
    }

    /// The id and the body of the next message.
    fn message(&mut self) -> (String, Vec<u8>) {
        let (kind, data) = self.frame().unwrap();
        assert_eq!(kind, 2, "{}", String::from_utf8_lossy(&data));
        (String::from_utf8(data[10..26].to_vec()).unwrap(), data[26..].to_vec())
    }

    fn answer(&mut self, command: &str) {
        self.send(format!("{command}\n").as_bytes());
    }
}

#[test]
fn a_message_comes_until_it_is_finished() {
    let nsqd = FakeNsqd::start();
    let mut producer = Client::connect(&nsqd, -1);
    assert_eq!(producer.publish(b"one").unwrap(), b"OK");
    let mut first = Client::connect(&nsqd, 1_000);
    first.subscribe();
    let (id, body) = first.message();
    assert_eq!(body, b"one");
    first.answer(&format!("REQ {id} 0"));
    assert_eq!(first.message().0, id, "requeued");
    drop(first);
    let mut second = Client::connect(&nsqd, 1_000);
    second.subscribe();
    assert_eq!(second.message().0, id, "its client left");
    nsqd.set_message_timeout(Duration::from_millis(20));
    second.answer(&format!("REQ {id} 0"));
    assert_eq!((second.message().0, second.message().0), (id.clone(), id.clone()), "not answered in time");
    nsqd.set_message_timeout(Duration::from_secs(60));
    second.answer(&format!("FIN {id}"));
    second.answer("CLS");
    let mut last = second.frame().unwrap().1;
    if last.starts_with(b"E_FIN_FAILED") {
        // The timeout was faster: the message came once more.
        last = second.frame().unwrap().1;
    }
    assert!(last == b"CLOSE_WAIT" || last[26..] == *b"one", "{}", String::from_utf8_lossy(&last));
    assert_eq!((nsqd.channels(), nsqd.counts().published), (vec!["t/c".to_owned()], 1));
}

#[test]
fn faults_happen_at_their_step_and_once() {
    for (step, is_stored) in
        [(NsqdStep::PublishArrived, false), (NsqdStep::PublishStored, true), (NsqdStep::PublishAnswered, true)]
    {
        let nsqd = FakeNsqd::start();
        nsqd.break_at(step, NsqdFault::Cut);
        let answer = Client::connect(&nsqd, -1).publish(b"x");
        assert_eq!(answer.is_some(), step == NsqdStep::PublishAnswered, "{step:?}");
        assert_eq!(nsqd.take("t").is_some(), is_stored, "{step:?}");
        assert_eq!(Client::connect(&nsqd, -1).publish(b"x").unwrap(), b"OK");
    }
}

#[test]
fn a_freeze_lasts_until_it_is_thawed() {
    let nsqd = FakeNsqd::start();
    nsqd.publish("t", "x");
    nsqd.break_at(NsqdStep::FinishArrived, NsqdFault::Freeze);
    let mut client = Client::connect(&nsqd, 1_000);
    client.subscribe();
    let (id, _) = client.message();
    client.answer(&format!("FIN {id}"));
    while !nsqd.is_frozen() {
        std::thread::yield_now();
    }
    assert_eq!(nsqd.counts().finished, 0);
    nsqd.thaw();
    assert_eq!(client.frame(), None, "hung up");
    assert_eq!(nsqd.depth("t"), 1, "it comes again");
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    let nsqd = FakeNsqd::start();
    nsqd.set_max_message_bytes(3);
    let mut client = Client::connect(&nsqd, -1);
    client.send(b"PUB t\n\0\0\0\x04");
    assert!(client.frame().unwrap().1.starts_with(b"E_BAD_MESSAGE"));
    assert_eq!(client.frame(), None);
    nsqd.set_down(true);
    assert!(TcpStream::connect(nsqd.address()).is_ok_and(|mut stream| stream.read(&mut [0; 1]).unwrap_or(0) == 0));
}
