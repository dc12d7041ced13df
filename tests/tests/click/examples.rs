//! The examples of network functions in guests, each between real hosts; `clickos.rs` has the firewall, the router and the
//! mirror.

use crate::function::Function;
use e2e::eventually;
use e2e::net::Namespace;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::UdpSocket;
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// Sends a text and waits for it; where it came from. Nothing comes: `None`.
fn carried(from: &UdpSocket, to: &str, server: &UdpSocket) -> Option<std::net::SocketAddr> {
    let mut buffer = [0; 2000];
    from.send_to(b"a text", to).expect("sent");
    server.recv_from(&mut buffer).ok().map(|(n, peer)| {
        assert_eq!(&buffer[..n], b"a text");
        peer
    })
}

/// Sends an answer back; whether it comes.
fn answered(server: &UdpSocket, to: std::net::SocketAddr, client: &UdpSocket) -> bool {
    let mut buffer = [0; 2000];
    server.send_to(b"an answer", to).expect("sent");
    client.recv(&mut buffer).is_ok_and(|n| &buffer[..n] == b"an answer")
}

#[test]
fn stateful_firewall_lets_nobody_begin_outside() {
    let f = Function::routed("stateful", 2, &[]);
    let (client, server) = (f.sides[0].udp("10.1.0.2:4000"), f.sides[1].udp("10.2.0.2:53"));
    assert!(carried(&server, "10.1.0.2:4000", &client).is_none(), "outside begins nothing");
    let peer = carried(&client, "10.2.0.2:53", &server).expect("inside may begin");
    assert!(answered(&server, peer, &client));
    assert!(f.sides[0].pings("10.2.0.2", 3) && !f.sides[1].pings("10.1.0.2", 1));
    f.folder.run(&["click", "nf", "swap", "examples/stateful.click"]).ends(0, "");
    assert!(answered(&server, peer, &client), "flows stay when the configuration is swapped");
    assert!(f.read("flows.udp_table").contains("10.1.0.2, 4000, 10.2.0.2, 53"));
}

#[test]
fn carrier_grade_nat_hides_its_customers() {
    let f = Function::routed("cgnat", 2, &[]);
    f.sides[1].ip(&["route", "del", "default"]);
    let (client, server) = (f.sides[0].udp("10.1.0.2:4000"), f.sides[1].udp("10.2.0.2:53"));
    let peer = carried(&client, "10.2.0.2:53", &server).expect("it goes out");
    assert!(["10.2.0.100", "10.2.0.101"].contains(&peer.ip().to_string().as_str()), "{peer}");
    assert!(answered(&server, peer, &client));
    assert!(f.sides[0].pings("10.2.0.2", 3), "pings are translated too");
    let stranger = f.sides[1].udp("10.2.0.2:54");
    assert!(!answered(&stranger, peer, &client), "nobody else gets in");
    assert_eq!(f.read("nat.table_size"), "1");
}

#[test]
fn load_balancer_spreads_and_heeds_health() {
    let f = Function::routed("balancer", 2, &["PORT=53", "BY=robin"]);
    f.sides[1].ip(&["address", "add", "10.2.0.3/24", "dev", &f.taps[1]]);
    let servers = [f.sides[1].udp("10.2.0.2:53"), f.sides[1].udp("10.2.0.3:53")];
    let serve = |client: &UdpSocket| {
        client.send_to(b"a text", "10.1.0.1:53").expect("sent");
        let mut buffer = [0; 100];
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            for (number, server) in servers.iter().enumerate() {
                server.set_nonblocking(true).expect("set");
                if let Ok((_, peer)) = server.recv_from(&mut buffer) {
                    assert!(answered(server, peer, client), "the service's address answers");
                    return number;
                }
            }
            assert!(Instant::now() < deadline, "no server was asked");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let clients: Vec<UdpSocket> = (0..6).map(|n| f.sides[0].udp(&format!("10.1.0.2:{}", 4000 + n))).collect();
    clients.iter().for_each(|c| c.connect("10.1.0.1:53").expect("connected"));
    let chosen: Vec<usize> = clients[..4].iter().map(&serve).collect();
    assert!(chosen == [0, 1, 0, 1] || chosen == [1, 0, 1, 0], "{chosen:?}");
    f.write("robin.down", "0");
    assert_eq!([serve(&clients[4]), serve(&clients[5])], [1, 1]);
    assert_eq!(serve(&clients[0]), chosen[0], "connections stay");
}

#[test]
fn rate_limiter_keeps_its_rate() {
    let f = Function::routed("ratelimit", 2, &["RATE=4Mbps"]);
    let (client, server) = (f.sides[0].udp("10.1.0.2:0"), f.sides[1].udp("10.2.0.2:4000"));
    assert!(f.sides[0].pings("10.2.0.2", 2));
    let begun = Instant::now();
    let (mut bytes, mut buffer) = (0, [0; 2000]);
    server.set_nonblocking(true).expect("set");
    while begun.elapsed() < Duration::from_secs(2) {
        // About 1.2 MB/s, for 0.5 MB/s that may pass.
        client.send_to(&[0; 1200], "10.2.0.2:4000").expect("sent");
        while let Ok(n) = server.recv(&mut buffer) {
            bytes += n;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let rate = bytes as f64 / begun.elapsed().as_secs_f64();
    assert!((300_000.0..560_000.0).contains(&rate), "{rate} bytes/s");
    assert!(f.sides[0].pings("10.2.0.2", 2), "pings do not wait behind the rest");
}

#[test]
fn dns_filter_refuses_names() {
    let f = Function::routed("dnsfilter", 2, &[]);
    let (client, server) = (f.sides[0].udp("10.1.0.2:0"), f.sides[1].udp("10.2.0.2:53"));
    let question = |name: &[u8]| [&[0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], name, &[0, 1, 0, 1]].concat();
    let mut buffer = [0; 600];
    client.send_to(&question(b"\x03bad\x07Example\0"), "10.2.0.2:53").expect("sent");
    let (n, from) = client.recv_from(&mut buffer).expect("it is refused");
    assert_eq!((&buffer[..4], from.to_string().as_str()), (&[0x12, 0x34, 0x81, 5][..], "10.2.0.2:53"));
    assert_eq!(&buffer[12..n], &question(b"\x03bad\x07Example\0")[12..]);
    client.send_to(&question(b"\x04good\x07example\0"), "10.2.0.2:53").expect("sent");
    let (n, _) = server.recv_from(&mut buffer).expect("others are asked");
    assert_eq!(&buffer[12..n], &question(b"\x04good\x07example\0")[12..]);
    assert_eq!((f.read("refused.count"), f.read("asked.count")), ("1".into(), "1".into()));
}

/// A socket for whole frames on a device of a namespace.
struct Wire(File);

impl Wire {
    fn new(side: &Namespace, device: &str) -> Self {
        let name = std::ffi::CString::new(device).expect("a name");
        side.inside(|| {
            // SAFETY: plain calls with values of their own; the address is as long as is said, and the descriptor new.
            let fd = unsafe {
                let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
                let protocol = (libc::ETH_P_ALL as u16).to_be();
                let fd = libc::socket(libc::AF_PACKET, kind, i32::from(protocol));
                assert!(fd >= 0, "{}", std::io::Error::last_os_error());
                let mut address: libc::sockaddr_ll = std::mem::zeroed();
                address.sll_family = libc::AF_PACKET as u16;
                address.sll_protocol = protocol;
                address.sll_ifindex = libc::if_nametoindex(name.as_ptr()) as i32;
                let length = size_of::<libc::sockaddr_ll>() as u32;
                assert_eq!(libc::bind(fd, (&raw const address).cast(), length), 0);
                OwnedFd::from_raw_fd(fd)
            };
            Self(File::from(fd))
        })
    }

    fn send(&mut self, frame: &[u8]) {
        self.0.write_all(frame).expect("sent");
    }

    /// The first frame that is wanted.
    #[track_caller]
    fn receive(&mut self, what: &str, wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let (deadline, mut buffer) = (Instant::now() + Duration::from_secs(5), [0; 2000]);
        loop {
            match self.0.read(&mut buffer) {
                Ok(n) if wanted(&buffer[..n]) => return buffer[..n].to_vec(),
                Ok(_) => {}
                Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock, "{e}"),
            }
            assert!(Instant::now() < deadline, "did not come: {what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn vlan_gateway_routes_between_vlans() {
    let f = Function::routed("vlangateway", 1, &[]);
    let mut wire = Wire::new(&f.sides[0], &f.taps[0]);
    let (host, other) = ([2, 9, 9, 9, 9, 1], [2, 9, 9, 9, 9, 2]);
    let tagged =
        |id: u8, to: [u8; 6], from: [u8; 6], rest: &[u8]| [&to[..], &from, &[0x81, 0, 0, id], rest].concat();
    let arp = |operation: u8, sender: ([u8; 6], [u8; 4]), target: ([u8; 6], [u8; 4])| {
        let fixed = [8, 6, 0, 1, 8, 0, 6, 4, 0, operation];
        [&fixed[..], &sender.0, &sender.1, &target.0, &target.1].concat()
    };
    // The kernel may take tags off what it hands to sockets: frames are told apart by what they say.
    let says = |frame: &[u8], part: &[u8]| frame.windows(part.len()).any(|w| w == part);
    let request = arp(1, (host, [10, 10, 0, 2]), ([0; 6], [10, 10, 0, 1]));
    wire.send(&tagged(10, [255; 6], host, &request));
    let reply = wire.receive("an answer on VLAN 10", |frame| says(frame, &[6, 4, 0, 2]));
    let gateway: [u8; 6] = core::array::from_fn(|i| reply[6 + i]);

    let mut packet = vec![8, 0, 0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0, 10, 10, 0, 2, 10, 20, 0, 2];
    packet.extend([0, 9, 0, 9, 0, 8, 0, 0]);
    let words = packet[2..22].chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])));
    let sum = words.sum::<u32>();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    packet[12..14].copy_from_slice(&sum.to_be_bytes());
    wire.send(&tagged(10, gateway, host, &packet));
    wire.receive("a question on VLAN 20", |frame| says(frame, &[6, 4, 0, 1]) && says(frame, &[10, 20, 0, 2]));
    let answer = arp(2, (other, [10, 20, 0, 2]), (gateway, [10, 20, 0, 1]));
    wire.send(&tagged(20, gateway, other, &answer));
    let routed = wire.receive("the packet on VLAN 20", |frame| {
        frame[..6] == other && says(frame, &[10, 10, 0, 2, 10, 20, 0, 2])
    });
    assert!(says(&routed, &[0, 1, 0, 0, 63, 17]), "one hop less: {routed:x?}");
    let strays = f.read("stray.count").parse::<u32>().expect("a number");
    wire.send(&tagged(30, [255; 6], host, &request));
    eventually("other VLANs are strays", || f.read("stray.count").parse::<u32>().expect("a number") > strays);
}

#[test]
fn proxy_joins_two_wires_and_answers_for_the_sleeper() {
    let f = Function::routed("proxy", 2, &["ADDR=10.1.0.1"]);
    // Both wires are one network to their hosts.
    f.sides[1].ip(&["address", "flush", "dev", &f.taps[1]]);
    f.sides[1].ip(&["address", "add", "10.1.0.130/24", "dev", &f.taps[1]]);
    assert!(f.sides[0].pings("10.1.0.200", 3), "the sleeper");
    assert_eq!(f.read("pings.count"), "3");
    assert!(f.sides[0].pings("10.1.0.130", 3) && f.sides[1].pings("10.1.0.2", 3));
    let (client, server) = (f.sides[0].udp("10.1.0.2:0"), f.sides[1].udp("10.1.0.130:4000"));
    let peer = carried(&client, "10.1.0.130:4000", &server).expect("it is carried");
    assert!(answered(&server, peer, &client));
}

#[test]
fn hosts_get_addresses_and_find_names() {
    let f = Function::routed("hosts", 1, &["RANGE=10.1.0.100-10.1.0.101", "ZONE=lab.internal"]);
    let (side, tap) = (&f.sides[0], f.taps[0].as_str());
    // A client of DHCP that takes the lease, and does nothing with it.
    let lease = || {
        let client =
            ["busybox", "udhcpc", "-i", tap, "-n", "-q", "-f", "-t", "5", "-T", "1", "-s", "/bin/true"];
        let done = side.command(&client).output().expect("udhcpc runs");
        String::from_utf8_lossy(&done.stderr).into_owned() + &String::from_utf8_lossy(&done.stdout)
    };
    let said = lease();
    assert!(said.contains("lease of 10.1.0.100 obtained from 10.1.0.1, lease time 3600"), "{said}");
    // It comes back and gets the same; another host gets another, and a third none.
    assert!(lease().contains("lease of 10.1.0.100 obtained"));
    let become_another = |mac: &str| side.ip(&["link", "set", tap, "address", mac]);
    become_another("02:00:00:00:00:22");
    assert!(lease().contains("lease of 10.1.0.101 obtained"));
    become_another("02:00:00:00:00:33");
    let said = lease();
    assert!(said.contains("no lease"), "{said}");
    assert_ne!(f.read("addresses.exhausted"), "0");
    f.write("addresses.release", "10.1.0.100");
    assert!(lease().contains("lease of 10.1.0.100 obtained"));
    assert_eq!(f.read("addresses.length"), "2");
    assert!(
        f.read("addresses.leases").contains("10.1.0.100 02-00-00-00-00-33"),
        "{}",
        f.read("addresses.leases")
    );

    f.write("names.add", "printer 10.1.0.20");
    f.write("names.add", "printer fd00::20");
    let look_up = |name: &str| {
        let done = side.command(&["busybox", "nslookup", name, "10.1.0.1"]).output().expect("nslookup runs");
        String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr)
    };
    let said = look_up("printer.lab.internal");
    assert!(said.contains("10.1.0.20") && said.contains("fd00::20"), "{said}");
    let said = look_up("10.1.0.20");
    assert!(said.contains("printer.lab.internal"), "{said}");
    let said = look_up("nobody.lab.internal");
    assert!(said.contains("NXDOMAIN"), "{said}");
    f.write("names.remove", "printer");
    assert!(look_up("printer.lab.internal").contains("NXDOMAIN"));
    assert_eq!(f.read("names.table"), "ns.lab.internal 10.1.0.1");
}
