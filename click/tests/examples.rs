//! Every example does with packets what its comments say.

mod common;

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
