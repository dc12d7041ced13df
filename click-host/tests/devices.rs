//! Devices and sockets in network namespaces of their own, which are made and removed here. They need root.

mod common;

use common::{Running, Space, click, free_port, said, until};
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::process::Command;

#[test]
fn frames_cross_a_router_between_two_interfaces() {
    frames_cross("1");
}

#[test]
fn frames_cross_a_router_on_several_threads() {
    frames_cross("3");
}

fn frames_cross(threads: &str) {
    let space = Space::new(&format!("veth{threads}"));
    for n in [1, 2] {
        space.ip(&format!("link add a{n} type veth peer name b{n}"));
        space.ip(&format!("link set a{n} up"));
        space.ip(&format!("link set b{n} up"));
    }
    let forwards = "f :: FromDevice(b1, PROMISC true) -> c :: Counter -> Queue -> t :: ToDevice(b2); AddressInfo(me b1:eth)";
    let router = Running::start(space.click(&["-j", threads, "-e", forwards, "-h", "t.drops"]));
    let sink = "FromDevice(a2, PROMISC true) -> cl :: Classifier(12/88b5, -); cl [1] -> Discard;
        cl [0] -> c :: Counter(COUNT_CALL 100 stop) -> Discard";
    let sink = Running::start(space.click(&["-e", sink, "-h", "c.byte_count"]));
    std::thread::sleep(std::time::Duration::from_millis(500));
    let source = "InfiniteSource(LIMIT 100, LENGTH 86, STOP false) -> EtherEncap(0x88b5, a1:eth, 2:0:0:0:0:9) -> q :: Queue(200) -> t :: ToDevice(a1);
        Script(label again, wait 0.05, goto again $(lt $(t.count) 100), stop)";
    assert_eq!(
        said(space.click(&["-e", source, "-h", "t.count"]).output().unwrap()),
        (0, "100\n".into(), "".into())
    );
    assert_eq!(sink.end(), (0, "10000\n".into(), "".into()));
    // The process inside of `ip netns exec` is the router itself.
    router.signal("INT");
    assert_eq!(router.end(), (0, "0\n".into(), "".into()));
}

#[test]
fn frames_are_chosen_by_an_expression_and_hidden_from_the_kernel() {
    let (here, there) = (Space::new("here"), Space::new("there"));
    here.ip(&format!("link add d0 type veth peer name d1 netns {}", there.0));
    for (space, device, address) in [(&here, "d0", "10.7.0.1/24"), (&there, "d1", "10.7.0.2/24")] {
        space.ip(&format!("addr add {address} dev {device}"));
        space.ip(&format!("link set {device} up"));
    }
    let pings = |most: &str| {
        let ping = there.run("ping", &["-c", "1", "-W", most, "10.7.0.1"]).output().unwrap();
        said_by(ping.status.code(), &[0, 1]) == 0
    };
    until(|| pings("1"));
    let chosen = "FromDevice(d0, BPF_FILTER \"icmp and dst host 10.7.0.1\") -> c :: Counter(COUNT_CALL 1 stop) -> Discard";
    let router = Running::start(here.click(&["-e", chosen, "-h", "c.count"]));
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(pings("1"));
    assert_eq!(router.end(), (0, "1\n".into(), "".into()));
    let hidden = "FromDevice(d0, SNIFFER false) -> Classifier(12/0800) -> CheckIPHeader(OFFSET 14) -> IPFilter(allow icmp)
        -> c :: Counter(COUNT_CALL 1 stop) -> Discard";
    let router = Running::start(here.click(&["-e", hidden, "-h", "c.count"]));
    std::thread::sleep(std::time::Duration::from_millis(300));
    // The router stops with the ping's first packet, and the kernel sees the next.
    assert!(!pings("1"));
    assert_eq!(router.end(), (0, "1\n".into(), "".into()));
    assert!(pings("1"));
    let (status, _, err) =
        said(here.click(&["-e", "FromDevice(d0, BPF_FILTER \"dst dst\") -> Discard"]).output().unwrap());
    assert_eq!(status, 1);
    assert!(err.contains("BPF_FILTER: can't parse filter expression"), "{err}");
}

/// An exit status that is one of those expected.
fn said_by(status: Option<i32>, expected: &[i32]) -> i32 {
    let status = status.expect("it ended by itself");
    assert!(expected.contains(&status), "{status}");
    status
}

#[test]
fn the_host_pings_an_address_behind_a_tun_and_a_tap_device() {
    the_host_pings("1");
}

#[test]
fn the_host_pings_an_address_of_a_router_on_several_threads() {
    the_host_pings("2");
}

fn the_host_pings(threads: &str) {
    let space = Space::new(&format!("tun{threads}"));
    let text = "t :: KernelTun(10.9.0.1/24, DEVNAME t0); t -> ICMPPingResponder -> t;
        f :: FromHost(h0, 10.8.0.1/24) -> cl :: Classifier(12/0806, 12/0800);
        cl [0] -> ARPResponder(10.8.0.0/24 2:0:0:0:0:8) -> to :: ToHost(h0);
        cl [1] -> Strip(14) -> CheckIPHeader -> ICMPPingResponder -> EtherEncap(0x0800, 2:0:0:0:0:8, h0:eth) -> to";
    // The second device's address is known once it is there.
    let text =
        text.replace("h0:eth", "2:0:0:0:0:7").replace("10.8.0.1/24)", "10.8.0.1/24, ETHER 2:0:0:0:0:7)");
    let _router = Running::start(space.click(&["-j", threads, "-e", &text]));
    for address in ["10.9.0.2", "10.8.0.2"] {
        until(|| said(space.run("ping", &["-c", "1", "-W", "1", address]).output().unwrap()).0 == 0);
    }
}

#[test]
fn a_server_of_tcp_and_udp_echoes() {
    let (tcp, udp) = (free_port(), free_port());
    let text = format!(
        "s :: Socket(TCP, 127.0.0.1, {tcp}); s -> s; u :: Socket(UDP, 127.0.0.1, {udp}); u -> Queue -> u;"
    );
    let _router = Running::start(click(&["-e", &text]));
    for _ in 0..2 {
        let mut stream = None;
        until(|| {
            stream = TcpStream::connect(("127.0.0.1", tcp)).ok();
            stream.is_some()
        });
        let mut stream = stream.unwrap();
        stream.write_all(b"hello").unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello");
    }
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"ping", ("127.0.0.1", udp)).unwrap();
    let mut answer = [0; 9];
    assert_eq!(socket.recv(&mut answer).unwrap(), 4);
}

#[test]
fn a_client_a_group_and_raw_packets() {
    let space = Space::new("raw");
    space.ip("link add d0 type veth peer name e0");
    space.ip("address add 10.7.0.1/24 dev d0");
    space.ip("link set d0 up");
    space.ip("link set e0 up");
    let text = "r :: RawSocket(UDP, 4000) -> c :: Counter(COUNT_CALL 2 stop) -> Discard;
        g :: McastSocket(239.1.2.3, 5000, 10.7.0.1) -> own :: Counter -> Discard;
        McastSocket(239.1.2.3, 5000, 10.7.0.1) -> m :: Counter -> Discard;
        RatedSource(DATA \"group\", RATE 50) -> g;
        RatedSource(DATA \"client\", RATE 50) -> Socket(UDP, 127.0.0.1, 4000, CLIENT true)";
    let (status, out, err) = said(
        space.click(&["-e", text, "-h", "m.count", "-h", "r.drops", "-h", "own.count"]).output().unwrap(),
    );
    assert_eq!((status, err.as_str()), (0, ""));
    let received = out.lines().nth(1).and_then(|n| n.parse::<u32>().ok());
    assert!(received.is_some_and(|n| n > 0), "{out}");
    assert!(out.ends_with("own.count:\n0\n\n"), "its own packets are not for it: {out}");
}

#[test]
fn a_tag_that_the_kernel_takes_out_of_a_frame_is_put_back() {
    let space = Space::new("vlan");
    space.ip("link add va type veth peer name vb");
    space.ip("link set va up");
    space.ip("link set vb up");
    let tagged = "FromDevice(vb, SNIFFER true) -> Classifier(6/020000000001) -> Print(r, 20) -> Discard;
        TimedSource(0.3, \\<ffffffffffff 020000000001 81000005 0800 4500001d00010000401166cd0a0000010a000002000100020009000076>, LIMIT 1)
        -> Queue -> ToDevice(va); DriverManager(wait 1, stop)";
    let (status, _, err) = said(space.click(&["-e", tagged]).output().unwrap());
    assert_eq!((status, err.as_str()), (0, "r:   47 | ffffffff ffff0200 00000001 81000005 08004500\n"));
}

#[test]
fn devices_are_those_of_the_network_namespace() {
    let space = Space::new("names");
    space.ip("link add only0 type veth peer name only1");
    space.ip("link set only1 up");
    space.ip("link set only0 address 02:00:00:00:07:01");
    space.ip("addr add 10.9.8.7/24 dev only0");
    space.ip("link set only0 up");
    space.ip("route add default via 10.9.8.1");
    // The mount namespace, and with it /sys, stays the host's.
    let here = ["--net=/run/netns/".to_string() + &space.0, env!("CARGO_BIN_EXE_click").into(), "-e".into(),
        "AddressInfo(me only0); s :: SetIPAddress(only0:gw); Idle -> EtherEncap(0x0800, only0:eth, only0) -> s -> Discard;
         DriverManager(print s.addr, stop)".into()];
    let (status, out, err) = said(Command::new("nsenter").args(here).output().unwrap());
    assert_eq!((status, out.as_str(), err.as_str()), (0, "10.9.8.1\n", ""));
}
