//! The guest `netpipe` and Debian's NPtcp at either end, over a TAP, and peers that are out of step.

use e2e::net::Namespace;
use e2e::{Outcome, RunFolder, eventually, finish, run, start, turns, unique};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::RwLockReadGuard;
use std::time::Duration;

const GUEST: &str = "10.9.4.1";
const HOST: &str = "10.9.4.2";

struct Line {
    namespace: Namespace,
    folder: RunFolder,
    tap: String,
    _turn: RwLockReadGuard<'static, ()>,
}

impl Line {
    fn new() -> Self {
        let turn = turns::beside_others();
        let (namespace, folder) = (Namespace::new(), RunFolder::new());
        let tap = format!("{},netns={},address={HOST}/24,guest={GUEST}/24", unique("t"), namespace.name);
        Self { namespace, folder, tap, _turn: turn }
    }

    fn receiver(arguments: &str) -> Self {
        let line = Self::new();
        let (image, word) = ("target/test-images/netpipe", format!("args={arguments}"));
        let guest = ["run", image, "--tap", &line.tap, "--detach", "--name", "np", "--set", &word];
        let outcome = line.folder.run(&guest);
        assert_eq!(outcome.status, 0, "{outcome:?}");
        line
    }

    fn nptcp(&self, arguments: &str) -> Outcome {
        let words: Vec<&str> = ["NPtcp", "-o", "/dev/null"].into_iter().chain(arguments.split(' ')).collect();
        run(&mut self.namespace.command(&words))
    }

    #[track_caller]
    fn stop(self) {
        self.folder.run(&["stop", "np"]).ends(0, "");
        self.folder.is_empty_soon();
    }
}

/// Microseconds one way in the line for a size.
#[track_caller]
fn micros(output: &str, size: u32) -> f64 {
    let line = output.lines().find(|l| l.contains(&format!(" {size} bytes")));
    let line = line.unwrap_or_else(|| panic!("no {size} bytes: {output}"));
    let words: Vec<&str> = line.split_whitespace().collect();
    words[words.len() - 2].parse().unwrap_or_else(|_| panic!("{line}"))
}

#[test]
fn memory_of_large_messages_goes_back_to_the_host() {
    let line = Line::receiver("-l 3000000");
    let before = line.folder.guest_memory();
    let outcome = line.nptcp(&format!("-h {GUEST} -l 3000000 -u 3200000 -n 5"));
    assert_eq!(outcome.status, 0, "{outcome:?}");
    let full = line.folder.guest_memory();
    eventually("the host has it back", || line.folder.guest_memory() < before + (4 << 20));
    eprintln!("{before} bytes before, {full} at its end, {} after", line.folder.guest_memory());
    line.stop();
}

#[test]
fn nptcp_transmits_to_a_guest() {
    let line = Line::receiver("");
    for (arguments, size) in [("-u 2000 -n 20", 1536), ("-u 70000 -n 3", 65_536), ("-u 100", 64)] {
        let outcome = line.nptcp(&format!("-h {GUEST} {arguments}"));
        assert_eq!(outcome.status, 0, "{arguments}: {outcome:?}");
        let time = micros(&outcome.err, size);
        assert!((1.0..100_000.0).contains(&time), "{arguments}: {time} µs");
    }
    line.stop();
}

#[test]
fn a_size_of_one_s_own_is_agreed_by_arguments() {
    let line = Line::receiver("-l 64 -p 0");
    let outcome = line.nptcp(&format!("-h {GUEST} -l 64 -u 64 -p 0 -n 10"));
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert!(micros(&outcome.err, 64) > 0.0);
    line.stop();
}

#[test]
fn a_guest_transmits_to_nptcp() {
    let line = Line::new();
    let receiver = start(&mut line.namespace.command(&["NPtcp", "-u", "5000"]));
    let word = format!("args=-h {HOST} -u 5000 -n 10");
    let outcome = line.folder.run(&["run", "target/test-images/netpipe", "--tap", &line.tap, "--set", &word]);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert!(micros(&outcome.out, 4096) > 0.0);
    assert_eq!(finish(receiver).status, 0, "NPtcp ends as it does among its own");
    line.folder.is_empty_soon();
}

#[test]
fn peers_out_of_step_end_their_own_session_and_no_other() {
    let line = Line::receiver("");
    let address: SocketAddr = format!("{GUEST}:5002").parse().expect("an address");
    let warm_up = [&b"SyncMe"[..], &[b'b'; 100], b"SyncMe"].concat();
    let hostile: [Vec<u8>; 5] = [
        vec![],
        b"SyncYou".to_vec(),
        [&warm_up[..], b"QUITE so"].concat(),
        [&warm_up[..], b"SyncMe\xff\xff\xff\xff", b"SyncMeSyncMe"].concat(),
        [&warm_up[..], b"SyncMe\0\0\0\0", b"SyncMeSyncMeSyncMe", b"QUIT"].concat(),
    ];
    for bytes in &hostile {
        // After a session the receiver listens again a moment later.
        let mut connected = None;
        eventually("the receiver listens", || {
            let connect = || TcpStream::connect_timeout(&address, Duration::from_secs(5));
            connected = line.namespace.inside(connect).ok();
            connected.is_some()
        });
        let mut stream = connected.expect("it is connected");
        // The receiver may have hung up before it has all.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout can be set");
        let _ = stream.read_to_end(&mut Vec::new());
        drop(stream);
        let again = || line.nptcp(&format!("-h {GUEST} -u 10 -n 2")).status == 0;
        eventually("the receiver goes on", again);
    }
    line.stop();
}
