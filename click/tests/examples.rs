//! Every example does with packets what its comments say.

mod common;

use click::headers::{Arp, write_ethernet};
use common::*;

fn example(name: &str, variables: &[(&str, &str)]) -> Bench {
    let path = format!("{}/../examples/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let source = click::Source { name, text: &text };
    let variables: Vec<_> = variables.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
    let mut host = Memory::new(2);
    click::check(&source, &variables).unwrap_or_else(|e| panic!("{e}"));
    let router = click::Router::new(&source, &variables, &mut host).unwrap_or_else(|e| panic!("{e}"));
    let mut bench = Bench { host, router };
    bench.settle();
    bench
}

#[test]
fn firewall_answers_passes_and_drops() {
    let mut b = example("firewall.click", &[]);
    let reply = b.send(0, arp(0, 1, own_ip(0)));
    assert_eq!(reply[0][20..32], [&[0, 2][..], &own_mac(0), &own_ip(0)].concat());
    let pong = b.send(0, ping(0, own_ip(0)));
    assert_eq!((pong[0][34], &pong[0][30..34], &pong[0][..6]), (0, &client_ip(0)[..], &client_mac(0)[..]));
    assert_checksums(&pong[0]);
    let dns = b.send(0, udp(0, [8, 8, 8, 8], 53, 64));
    assert_eq!((&dns[0][26..30], &dns[0][34..38]), (&[8, 8, 8, 8][..], &[0, 53, 15, 160][..]));
    assert_checksums(&dns[0]);
    assert_eq!(b.send(0, ip(0, 6, [1; 4], 64, &[0x20, 0, 0, 80, 0, 0, 0, 0])).len(), 1);
    assert!(b.send(0, udp(0, own_ip(0), 54, 64)).is_empty());
    assert!(b.send(0, arp(0, 1, [10, 77, 0, 9])).is_empty());
    let mut damaged = udp(0, own_ip(0), 53, 64);
    damaged[30] ^= 1;
    assert!(b.send(0, damaged).is_empty());
    let counts = ["arp", "ping", "passed", "dropped"].map(|c| b.read(&format!("{c}.count")));
    assert_eq!(counts, ["1", "1", "2", "2"]);
}

#[test]
fn mirror_sends_back() {
    let mut b = example("mirror.click", &[]);
    assert_eq!(b.send(0, arp(0, 1, own_ip(0))).len(), 1);
    let back = b.send(0, udp(0, own_ip(0), 1234, 64));
    assert_eq!((&back[0][..6], &back[0][26..30]), (&client_mac(0)[..], &own_ip(0)[..]));
    assert_checksums(&back[0]);
    assert_eq!(b.read("mirrored.count"), "1");
}

#[test]
fn router_forwards_between_its_networks() {
    let mut b = example("router.click", &[]);
    let query = b.send(0, udp(0, client_ip(1), 5000, 64));
    assert_eq!(query[0][20..22], [0, 1], "asks for the neighbour");
    let forwarded = b.send(1, arp(1, 2, own_ip(1)));
    assert_eq!((&forwarded[0][..6], forwarded[0][22]), (&client_mac(1)[..], 63));
    assert_checksums(&forwarded[0]);
    // The neighbour is known now.
    assert_eq!(b.send(0, udp(0, client_ip(1), 5000, 64)).len(), 1);
    b.send(0, arp(0, 2, own_ip(0)));

    b.send(1, udp(1, client_ip(0), 5000, 64));
    b.send(0, arp(0, 2, own_ip(0)));
    let expired = b.send(0, udp(0, client_ip(1), 5000, 1));
    assert_eq!((expired[0][34], expired[0][35], &expired[0][30..34]), (11, 0, &client_ip(0)[..]));
    assert_checksums(&expired[0]);
    let nowhere = b.send(0, udp(0, [9, 9, 9, 9], 5000, 64));
    assert_eq!((nowhere[0][34], nowhere[0][35]), (3, 0));
    let closed = b.send(0, udp(0, own_ip(1), 5000, 64));
    assert_eq!((closed[0][34], closed[0][35]), (3, 3));
    assert_eq!(b.send(0, ping(0, own_ip(1)))[0][34], 0);
    assert_eq!(b.read("pings.count"), "1");
}

#[test]
fn loadgen_sends_its_packets_and_stops() {
    let mut b = example("loadgen.click", &[("RATE", "1000"), ("LIMIT", "200")]);
    b.pass(1_000_000);
    assert_eq!(b.sent()[0][20..22], [0, 1], "asks for its target");
    let target = [10, 77, 0, 2];
    b.send(0, arp(0, 2, target));
    let end = b.pass(5_000_000_000);
    assert_eq!(end, click::Progress::Stopped);
    assert!(b.host.printed.contains("made 200 packets"), "{}", b.host.printed);
    let frames = b.sent();
    assert!(frames.iter().filter(|f| f[12..14] == [8, 0]).count() >= 190);
    frames.iter().filter(|f| f[12..14] == [8, 0]).for_each(|f| assert_checksums(f));
}

/// Tells both sides' queriers who is there, as their questions would.
fn introduce(b: &mut Bench, device: usize, address: [u8; 4], mac: [u8; 6]) {
    let own = if device == 0 { own_ip(0) } else { own_ip(1) };
    let answer = Arp { operation: 2, sender: (mac, address), target: (own_mac(device), own) };
    b.send(device, answer.frame(own_mac(device)).to_vec());
}

fn source(frame: &[u8]) -> [u8; 4] {
    core::array::from_fn(|i| frame[26 + i])
}

fn ports(frame: &[u8]) -> [u16; 2] {
    [34, 36].map(|at| u16::from_be_bytes([frame[at], frame[at + 1]]))
}

/// The answer to a UDP frame, as its receiver on a device sends it.
fn answer(frame: &[u8], device: usize) -> Vec<u8> {
    let mut back = frame.to_vec();
    write_ethernet(&mut back, own_mac(device), client_mac(device), 0x0800);
    for i in 0..4 {
        back.swap(26 + i, 30 + i);
    }
    back.swap(34, 36);
    back.swap(35, 37);
    back
}

#[test]
fn stateful_firewall_lets_answers_in() {
    let mut b = example("stateful.click", &[]);
    b.send(0, udp(0, client_ip(1), 53, 64));
    introduce(&mut b, 1, client_ip(1), client_mac(1));
    let out = b.send(0, udp(0, client_ip(1), 53, 64));
    assert_eq!((source(&out[0]), out[0][22]), (client_ip(0), 63));
    b.send(1, answer(&out[0], 1));
    introduce(&mut b, 0, client_ip(0), client_mac(0));
    assert_eq!(b.send(1, answer(&out[0], 1)).len(), 1);
    assert!(b.send(1, udp(1, client_ip(0), 53, 64)).is_empty());
    assert_eq!(b.send(0, ping(0, client_ip(1)))[0][34], 8);
    assert!(b.send(1, ping(1, client_ip(0))).is_empty());
    assert!(
        b.read("flows.udp_table")
            .contains("(10.77.0.2, 4000, 10.77.1.2, 53) => (10.77.0.2, 4000, 10.77.1.2, 53)")
    );
}

#[test]
fn carrier_grade_nat_hides_customers_behind_the_pool() {
    let mut b = example("cgnat.click", &[("PUBLIC0", "10.77.1.100"), ("PUBLIC1", "10.77.1.101")]);
    assert_eq!(b.send(1, arp(1, 1, [10, 77, 1, 101])).len(), 1, "the pool is answered for");
    b.send(0, udp(0, client_ip(1), 53, 64));
    introduce(&mut b, 1, client_ip(1), client_mac(1));
    let out = b.send(0, udp(0, client_ip(1), 53, 64));
    assert_checksums(&out[0]);
    assert_eq!((&source(&out[0])[..3], ports(&out[0])[1]), (&[10, 77, 1][..], 53));
    b.send(1, answer(&out[0], 1));
    introduce(&mut b, 0, client_ip(0), client_mac(0));
    let back = b.send(1, answer(&out[0], 1));
    assert_eq!((&back[0][30..34], ports(&back[0])), (&client_ip(0)[..], [53, 4000]));
    let ping_out = b.send(0, ping(0, client_ip(1)));
    assert_eq!(source(&ping_out[0]), source(&out[0]), "one customer, one address");
    let mut stranger = answer(&out[0], 1);
    stranger[37] ^= 1;
    assert!(b.send(1, stranger).is_empty());
}

#[test]
fn load_balancer_spreads_clients_and_heeds_health() {
    let servers = [("SERVER0", "10.77.1.2"), ("SERVER1", "10.77.1.3"), ("PORT", "53")];
    for by in ["hash", "robin"] {
        let mut b = example("balancer.click", &[&servers[..], &[("BY", by)]].concat());
        for n in 0..8u16 {
            b.send(0, udp_from(n, own_ip(0), 53));
        }
        introduce(&mut b, 1, [10, 77, 1, 2], client_mac(1));
        introduce(&mut b, 1, [10, 77, 1, 3], client_mac(1));
        let chosen: Vec<u8> = (0..40).map(|n| b.send(0, udp_from(n, own_ip(0), 53))[0][33]).collect();
        assert!(chosen.contains(&2) && chosen.contains(&3), "{by}: {chosen:?}");
        b.write(&format!("{by}.down"), "0");
        let later: Vec<u8> = (100..120).map(|n| b.send(0, udp_from(n, own_ip(0), 53))[0][33]).collect();
        assert!(later.iter().all(|&s| s == 3), "{by}: {later:?}");
        let again = b.send(0, udp_from(0, own_ip(0), 53));
        assert_eq!(again[0][33], chosen[0], "what a server has goes on");
        b.send(1, answer(&again[0], 1));
        introduce(&mut b, 0, source(&again[0]), client_mac(0));
        assert_eq!(source(&b.send(1, answer(&again[0], 1))[0]), own_ip(0), "the service answers");
        assert!(b.send(0, udp(0, own_ip(0), 99, 64)).is_empty());
    }
}

/// A UDP packet of one of many clients on device 0.
fn udp_from(client: u16, to: [u8; 4], port: u16) -> Vec<u8> {
    let mut frame = udp(0, to, port, 64);
    let address = [10, 77, (client >> 8) as u8, client as u8 | 128];
    let sum =
        click::headers::adjust([frame[24], frame[25]], click::headers::difference(&frame[26..30], &address));
    frame[24..26].copy_from_slice(&sum);
    let sum =
        click::headers::adjust([frame[40], frame[41]], click::headers::difference(&frame[26..30], &address));
    frame[40..42].copy_from_slice(&sum);
    frame[26..30].copy_from_slice(&address);
    frame
}

#[test]
fn rate_limiter_keeps_its_rate_and_lets_the_urgent_pass() {
    let mut b = example("ratelimit.click", &[("RATE", "80kbps"), ("SHARE", "500")]);
    b.send(0, udp(0, client_ip(1), 9, 64));
    introduce(&mut b, 1, client_ip(1), client_mac(1));
    b.send(0, ping(0, own_ip(0)));
    introduce(&mut b, 0, client_ip(0), client_mac(0));
    b.sent();
    let mut bytes = 0;
    let mut bulk = vec![0; 958];
    bulk[..4].copy_from_slice(&[0, 9, 0, 9]);
    for round in 0..100 {
        b.host.devices[0].incoming.push_back(ip(0, 17, client_ip(1), 64, &bulk));
        if round == 50 {
            b.host.devices[0].incoming.push_back(ping(0, client_ip(1)));
            b.pass(150_000_000);
            assert!(
                b.host.devices[1].sent.iter().any(|f| f[23] == 1),
                "a ping does not wait behind the rest"
            );
        }
        b.pass(10_000_000);
        bytes += b.sent().iter().map(Vec::len).sum::<usize>();
    }
    // 10 kB a second for about 1.15 seconds, and what can be saved up.
    assert!((9_000..16_000).contains(&bytes), "{bytes}");
    assert_eq!(b.read("excess.count"), "0");
    for _ in 0..5000 {
        b.host.devices[0].incoming.push_back(ip(0, 17, client_ip(1), 64, &bulk));
    }
    b.settle();
    assert!(b.read("excess.count").parse::<u32>().unwrap() > 3000);
}

#[test]
fn dns_filter_refuses_what_is_on_its_list() {
    let mut b = example("dnsfilter.click", &[]);
    let question = |name: &[u8]| {
        let mut payload = [
            4000u16.to_be_bytes(),
            53u16.to_be_bytes(),
            (8 + 12 + name.len() as u16 + 4).to_be_bytes(),
            [0; 2],
        ]
        .concat();
        payload.extend([0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        payload.extend(name);
        payload.extend([0, 1, 0, 1]);
        ip(0, 17, client_ip(1), 64, &payload)
    };
    b.send(0, question(b"\x04good\x07example\0"));
    introduce(&mut b, 1, client_ip(1), client_mac(1));
    assert_eq!(b.send(0, question(b"\x04good\x07example\0"))[0][30..34], client_ip(1));
    for name in [&b"\x03bad\x07example\0"[..], b"\x08adserver\x03com\0", b"\x03bAD\x07eXample\0"] {
        b.send(0, question(name));
        introduce(&mut b, 0, client_ip(0), client_mac(0));
        let refused = b.send(0, question(name));
        assert_checksums(&refused[0]);
        assert_eq!((source(&refused[0]), ports(&refused[0])), (client_ip(1), [53, 4000]));
        assert_eq!(refused[0][42..46], [0x12, 0x34, 0x81, 0x05], "an answer: refused");
    }
    assert_eq!(b.send(0, question(b"\x03bad\x07example\x03com\0")).len(), 1);
}

#[test]
fn vlan_gateway_routes_between_vlans() {
    let mut b = example("vlangateway.click", &[]);
    let tag = |id: u16, frame: Vec<u8>| [&frame[..12], &[0x81, 0], &id.to_be_bytes(), &frame[12..]].concat();
    let mut request = arp(0, 1, [10, 10, 0, 1]);
    request[28..32].copy_from_slice(&[10, 10, 0, 2]);
    let reply = b.send(0, tag(10, request.clone()));
    assert_eq!((&reply[0][12..16], reply[0][25]), (&[0x81, 0, 0, 10][..], 2));
    assert!(b.send(0, tag(30, request.clone())).is_empty() && b.send(0, request).is_empty());
    let mut packet = udp(0, [10, 20, 0, 2], 9, 64);
    packet[26..30].copy_from_slice(&[10, 10, 0, 2]);
    packet[24..26].fill(0);
    let sum = click::headers::checksum(&packet[14..34]);
    packet[24..26].copy_from_slice(&sum);
    let asked = b.send(0, tag(10, packet.clone()));
    assert_eq!((&asked[0][12..16], asked[0][25]), (&[0x81, 0, 0, 20][..], 1));
    let answer = Arp { operation: 2, sender: ([6; 6], [10, 20, 0, 2]), target: (own_mac(0), [10, 20, 0, 1]) };
    let sent = b.send(0, tag(20, answer.frame(own_mac(0)).to_vec()));
    assert_eq!((&sent[0][..6], &sent[0][14..16], sent[0][26]), (&[6; 6][..], &[0, 20][..], 63));
    assert_eq!(b.read("stray.count"), "2");
}

#[test]
fn proxy_answers_for_the_other_wire_and_the_sleeper() {
    let variables = [
        ("HALF0", "10.77.0.0/25"),
        ("HALF1", "10.77.0.128/25"),
        ("ADDR", "10.77.0.1"),
        ("SLEEPER", "10.77.0.200"),
    ];
    let mut b = example("proxy.click", &variables);
    let reply = b.send(0, arp(0, 1, [10, 77, 0, 150]));
    assert_eq!((reply[0][21], &reply[0][22..28]), (2, &own_mac(0)[..]));
    assert!(b.send(0, arp(0, 1, [10, 77, 0, 9])).is_empty(), "who is on the wire answers for itself");
    b.send(0, ping(0, [10, 77, 0, 200]));
    introduce(&mut b, 0, client_ip(0), client_mac(0));
    let pong = b.send(0, ping(0, [10, 77, 0, 200]));
    assert_eq!((pong[0][34], source(&pong[0])), (0, [10, 77, 0, 200]));
    let asked = b.send(0, ping(0, [10, 77, 0, 150]));
    assert_eq!((asked[0][12..14].to_vec(), &asked[0][38..42]), (vec![8, 6], &[10, 77, 0, 150][..]));
    introduce(&mut b, 1, [10, 77, 0, 150], client_mac(1));
    assert_eq!(b.send(0, ping(0, [10, 77, 0, 150]))[0][22], 64);
}
