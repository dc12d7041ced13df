//! TCP through a TAP with and without offloads, both ways, with checked contents: large segments, mergeable buffers,
//! checksums that the other side fills in.

use e2e::net::Namespace;
use e2e::{RunFolder, turns, unique};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const BYTES: usize = 6_000_000;

fn pattern(i: usize) -> u8 {
    ((i as u32).wrapping_mul(2_654_435_761) >> 24) as u8
}

fn connect(namespace: &Namespace, address: &str) -> TcpStream {
    let address: SocketAddr = address.parse().expect("an address");
    let stream = namespace.inside(|| TcpStream::connect_timeout(&address, Duration::from_secs(5)));
    let stream = stream.unwrap_or_else(|e| panic!("{address}: {e}"));
    stream.set_read_timeout(Some(Duration::from_secs(15))).expect("a timeout can be set");
    stream
}

fn transfers(options: &str, mtu: &str) {
    let _turn = turns::beside_others();
    let (namespace, folder, tap) = (Namespace::new(), RunFolder::new(), unique("t"));
    let option = format!(
        "{tap},netns={},address=10.9.0.2/24,address=fd00:9::2/64,guest=10.9.0.1/24,guest=fd00:9::1/64,mtu={mtu}{options}",
        namespace.name
    );
    let outcome =
        folder.run(&["run", "target/test-images/serves-tcp", "--tap", &option, "--detach", "--name", "tcp"]);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert!(namespace.pings("10.9.0.1", 3), "no answer to ping");

    let bytes: Vec<u8> = (0..BYTES).map(pattern).collect();
    for address in ["10.9.0.1", "[fd00:9::1]"] {
        // IPv6 addresses are tentative for a moment.
        if address.starts_with('[') {
            e2e::eventually("IPv6 answers", || namespace.pings("fd00:9::1", 1));
        }
        let mut to = connect(&namespace, &format!("{address}:9"));
        to.write_all(&bytes).expect("the guest takes it");
        to.shutdown(std::net::Shutdown::Write).expect("open");
        let mut answer = String::new();
        to.read_to_string(&mut answer).expect("the guest answers");
        assert_eq!(answer.trim(), format!("{BYTES} ok"), "{options} {address}");

        let mut from = connect(&namespace, &format!("{address}:19"));
        from.write_all(format!("{BYTES}\n").as_bytes()).expect("the guest takes it");
        let mut got = Vec::new();
        from.read_to_end(&mut got).expect("the guest sends");
        assert!(got == bytes, "{options} {address}: {} bytes came", got.len());
    }
    let udp = namespace.udp("10.9.0.2:0");
    let mut buffer = [0; 2000];
    udp.send_to(b"over udp", "10.9.0.1:7").expect("sent");
    let n = udp.recv(&mut buffer).expect("an echo");
    assert_eq!(&buffer[..n], b"over udp");
    folder.run(&["stop", "tcp"]).ends(0, "");
    folder.is_empty_soon();
}

#[test]
fn with_offloads() {
    transfers("", "1500");
}

#[test]
fn without_offloads() {
    transfers(",offload=off", "1500");
}

#[test]
fn with_a_short_queue() {
    transfers(",queue=16", "1500");
}

#[test]
fn with_large_packets() {
    transfers("", "9000");
}
