//! How soon a firewall that does not run yet answers a client that pings already.

use e2e::net::Namespace;
use e2e::{program, root, unique};
use std::net::UdpSocket;
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const MAC: &str = "02:00:00:00:00:77";
/// Between two pings.
const INTERVAL: Duration = Duration::from_micros(200);

/// From the monitor's exec to the first answer. The TAP is there, the client pings it without end and knows the
/// guest's Ethernet address, which would otherwise be asked for once a second.
pub fn first_answer(image: &Path) -> Duration {
    let (namespace, tap) = (Namespace::new(), unique("t"));
    namespace.ip(&["tuntap", "add", "mode", "tap", "vnet_hdr", "name", &tap]);
    namespace.ip(&["addr", "add", "10.77.0.2/24", "dev", &tap]);
    namespace.ip(&["link", "set", &tap, "up"]);
    namespace.ip(&["neigh", "add", "10.77.0.1", "lladdr", MAC, "dev", &tap]);
    let socket = namespace.inside(ping_socket);
    let mut monitor = Command::new(program("microvisor-vmm"));
    monitor.arg("--image").arg(image).arg("--config").arg(root().join("examples/firewall.click"));
    monitor.args(["--console", "off", "--net", &format!("tap={tap},mac={MAC},ipv4=10.77.0.1/24")]);
    monitor.stdin(Stdio::null()).stdout(Stdio::null());
    namespace.inside(|| {
        let begun = Instant::now();
        let mut child = monitor.spawn().unwrap_or_else(|e| crate::stop(&format!("{monitor:?}: {e}"), 1));
        let answered = answer(&socket, "10.77.0.1", INTERVAL).duration_since(begun);
        let _ = child.kill();
        let _ = child.wait();
        answered
    })
}

/// Pings every `interval` until there is an answer; when it came.
pub fn answer(socket: &UdpSocket, address: &str, interval: Duration) -> Instant {
    // Answers to a former round's pings are none to this one's.
    while socket.recv(&mut [0; 64]).is_ok() {}
    let begun = Instant::now();
    for sequence in 1u16.. {
        if ping(socket, address, sequence, interval) {
            return Instant::now();
        }
        if begun.elapsed() > Duration::from_secs(5) {
            break;
        }
    }
    crate::stop(&format!("{address} does not answer"), 1)
}

/// A socket for ICMP echo (`icmp(7)`, ping sockets), which any user of the group range may open.
pub fn ping_socket() -> UdpSocket {
    if std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0").is_err() {
        crate::stop("cannot open a ping socket: run as root", 1);
    }
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: a plain system call.
    let fd = unsafe { libc::socket(libc::AF_INET, kind, libc::IPPROTO_ICMP) };
    if fd < 0 {
        crate::stop("cannot open a ping socket", 1);
    }
    // SAFETY: the kernel just returned the descriptor and nobody else owns it.
    UdpSocket::from(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends an echo request and looks for any answer until the next is due. The kernel fills in the checksum.
fn ping(socket: &UdpSocket, address: &str, sequence: u16, interval: Duration) -> bool {
    let [high, low] = sequence.to_be_bytes();
    let sent = Instant::now();
    let _ = socket.send_to(&[8, 0, 0, 0, 0, 0, high, low], (address, 0));
    let mut buffer = [0; 64];
    while sent.elapsed() < interval {
        if socket.recv(&mut buffer).is_ok_and(|n| n >= 8 && buffer[0] == 0) {
            return true;
        }
        std::thread::sleep(Duration::from_micros(20));
    }
    false
}
