//! Network address translators, with packets from both sides: device 0 is inside, device 1 outside.

mod common;

use common::*;
use proptest::prelude::*;

const OUTSIDE: [u8; 4] = [9, 9, 9, 9];
const SECOND: u64 = 1_000_000_000;

/// A rewriter `r` between both devices, with elements that it needs.
fn between(rewriter: &str, more: &str) -> Bench {
    let mut b = bench(&format!(
        "{more}; FromDevice(0) -> Strip(14) -> CheckIPHeader -> [0] r :: {rewriter}; FromDevice(1) -> Strip(14) -> CheckIPHeader -> [1] r;
        r [0] -> EtherEncap(0x0800, 1:1:1:1:1:1, 2:2:2:2:2:2) -> Queue -> ToDevice(1);
        r [1] -> EtherEncap(0x0800, 1:1:1:1:1:1, 2:2:2:2:2:2) -> Queue -> ToDevice(0);"
    ));
    b.settle();
    b
}

fn nat(specification: &str) -> Bench {
    between(&format!("IPRewriter({specification}, drop)"), "")
}

/// A packet with good checksums.
fn packet(protocol: u8, from: ([u8; 4], u16), to: ([u8; 4], u16), flags: u8, data: &[u8]) -> Vec<u8> {
    let ports = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
    let (mut payload, sum) = match protocol {
        6 => ([&ports[..], &[0, 0, 0, 9, 0, 0, 0, 7, 0x50, flags, 1, 0, 0, 0, 0, 0]].concat(), 16),
        17 => ([&ports[..], &(8 + data.len() as u16).to_be_bytes(), &[0, 0]].concat(), 6),
        _ => (vec![from.1 as u8, 0, 0, 0, (to.1 >> 8) as u8, to.1 as u8, 0, 1], 2),
    };
    payload.extend(data);
    let mut frame = ip(0, protocol, to.0, 64, &payload);
    frame[26..30].copy_from_slice(&from.0);
    frame[24..26].fill(0);
    let header = click::headers::checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&header);
    let total = match protocol {
        1 => click::headers::checksum(&frame[34..]),
        p => match click::headers::transport_checksum(from.0, to.0, p, &frame[34..]) {
            // In UDP, 0 says that there is none.
            [0, 0] if p == 17 => [255, 255],
            sum => sum,
        },
    };
    frame[34 + sum..36 + sum].copy_from_slice(&total);
    frame
}

/// An ICMP packet with its checksum made right.
fn with_checksum(mut frame: Vec<u8>) -> Vec<u8> {
    frame[36..38].fill(0);
    let sum = click::headers::checksum(&frame[34..]);
    frame[36..38].copy_from_slice(&sum);
    frame
}

fn udp_from(port: u16) -> Vec<u8> {
    packet(17, (client_ip(0), port), (OUTSIDE, 53), 0, b"question")
}

/// Addresses and ports of a frame whose checksums are right.
#[track_caller]
fn ends(frame: &[u8]) -> ([u8; 4], u16, [u8; 4], u16) {
    assert_checksums(frame);
    let address = |at: usize| core::array::from_fn(|i| frame[at + i]);
    let port = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    (address(26), port(34), address(30), port(36))
}

/// The answer to a frame that went out.
fn answer(frame: &[u8]) -> Vec<u8> {
    let mut back = frame.to_vec();
    for i in 0..4 {
        back.swap(26 + i, 30 + i);
    }
    back.swap(34, 36);
    back.swap(35, 37);
    back
}

/// Why a configuration does not start.
fn refused(text: &str) -> String {
    let source = click::Source { name: "test.click", text };
    click::Router::new(&source, &[], &mut Memory::new(2)).err().expect("it starts").to_string()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn answers_are_rewritten_to_what_the_packet_was(
        packets in proptest::collection::vec((any::<[u8; 3]>(), 1u16.., any::<[u8; 3]>(), 1u16.., any::<bool>(), proptest::collection::vec(any::<u8>(), 0..40)), 1..30),
        pattern in proptest::sample::select(vec!["pattern 1.0.0.1 1024-65535 - - 0 1", "pattern 1.0.0.1 5000-5063? - - 0 1", "pattern - - 7.7.7.7 80 0 1", "keep 0 1", "pattern 1.0.0.0/24 - - - 0 1"]),
    ) {
        let mut b = nat(pattern);
        for (source, sport, destination, dport, tcp, data) in packets {
            let from = ([10, source[0], source[1], source[2]], sport);
            let to = ([20, destination[0], destination[1], destination[2]], dport);
            let sent = packet(if tcp { 6 } else { 17 }, from, to, 16, &data);
            for out in b.send(0, sent.clone()) {
                ends(&out);
                let back = b.send(1, answer(&out));
                prop_assert_eq!(ends(&back[0]), (to.0, to.1, from.0, from.1));
                prop_assert_eq!(&back[0][38..], &answer(&sent)[38..], "checksums are those of the packet that was never rewritten");
            }
        }
    }
}

#[test]
fn a_flow_keeps_its_port_and_others_get_another() {
    let mut b = nat("pattern 1.0.0.1 1024-65535 - - 0 1");
    let first = b.send(0, udp_from(4000));
    assert_eq!(ends(&first[0]), ([1, 0, 0, 1], 4000, OUTSIDE, 53));
    let other = packet(17, ([10, 77, 0, 3], 4000), (OUTSIDE, 53), 0, b"");
    let second = ends(&b.send(0, other)[0]).1;
    assert!(second >= 1024 && second != 4000);
    assert_eq!(b.send(0, udp_from(4000)), first);
    assert_eq!((b.read("r.table_size"), b.read("r.mapping_failures")), ("2".into(), "0".into()));
}

#[test]
fn unknown_packets_from_outside_are_dropped() {
    let mut b = nat("pattern 1.0.0.1 1024-65535 - - 0 1");
    let out = b.send(0, udp_from(4000));
    let mut stranger = answer(&out[0]);
    stranger[35] ^= 1;
    assert!(b.send(1, stranger).is_empty());
}

#[test]
fn inputs_pass_keep_and_drop() {
    let mut b = between("IPRewriter(pass 0, keep 1 0)", "");
    assert_eq!(ends(&b.send(0, udp_from(7))[0]).0, client_ip(0));
    assert_eq!(b.read("r.nmappings"), "0");
    b.send(1, packet(17, (OUTSIDE, 53), (client_ip(0), 9), 0, b""));
    assert_eq!(b.read("r.nmappings"), "1");
    let fragment = {
        let mut f = udp_from(7);
        f[20..22].copy_from_slice(&[0, 5]);
        f[24..26].fill(0);
        let sum = click::headers::checksum(&f[14..34]);
        f[24..26].copy_from_slice(&sum);
        f
    };
    assert_eq!(b.send(0, fragment.clone()).len(), 1, "fragments pass where packets pass");
    assert!(b.send(1, fragment).is_empty());
}

#[test]
fn ports_are_given_in_order_until_none_is_left() {
    let mut b = nat("pattern 1.0.0.1 2000-2003# - - 0 1");
    let ports: Vec<_> = (0..4).map(|i| ends(&b.send(0, udp_from(100 + i))[0]).1).collect();
    assert_eq!(ports, [2000, 2001, 2002, 2003]);
    assert!(b.send(0, udp_from(200)).is_empty());
    assert_eq!(b.read("r.mapping_failures"), "1");
    // To another destination the same ports are free.
    let elsewhere = packet(17, (client_ip(0), 300), ([8; 4], 53), 0, b"");
    assert_eq!(ends(&b.send(0, elsewhere)[0]).1, 2000);
}

#[test]
fn a_full_table_keeps_what_is_guaranteed_and_then_the_most_recent() {
    let mut b = nat("pattern 1.0.0.1 1024-65535 - - 0 1, MAPPING_CAPACITY 2, UDP_GUARANTEE 5");
    b.send(0, udp_from(1));
    b.host.clock += SECOND;
    b.send(0, udp_from(2));
    assert!(b.send(0, udp_from(3)).is_empty());
    b.host.clock += 4 * SECOND + SECOND / 2;
    assert_eq!(b.send(0, udp_from(3)).len(), 1, "the first one's guarantee is over");
    assert!(b.send(0, udp_from(1)).is_empty());
    b.host.clock += 5 * SECOND;
    b.send(0, udp_from(2));
    assert_eq!(b.send(0, udp_from(1)).len(), 1, "the third makes room: the second had a packet since");
    assert!(b.read("r.udp_table").contains("(10.77.0.2, 2, 9.9.9.9, 53) => (1.0.0.1, "));
    assert_eq!((b.read("r.size"), b.read("r.capacity")), ("2".into(), "2".into()));
}

#[test]
fn flows_are_forgotten_in_their_time() {
    let mut b =
        nat("pattern 1.0.0.1 1024-65535 - - 0 1, UDP_TIMEOUT 10, UDP_STREAMING_TIMEOUT 100, REAP_INTERVAL 1");
    let tcp = |port, flags, data| packet(6, (client_ip(0), port), (OUTSIDE, 80), flags, data);
    b.send(0, udp_from(1));
    let streaming = b.send(0, udp_from(2));
    b.send(1, answer(&streaming[0]));
    b.send(0, udp_from(2));
    let ended = b.send(0, tcp(3, 4, b""));
    let lasting = b.send(0, tcp(4, 16, b"data"));
    b.send(1, answer(&lasting[0]));
    b.send(0, tcp(5, 2, b""));
    let after = |b: &mut Bench, seconds: u64| {
        b.pass(seconds * SECOND);
        b.read("r.size")
    };
    assert_eq!(
        ["5", "4", "3", "2", "1", "0"],
        [
            after(&mut b, 9),
            after(&mut b, 3),
            after(&mut b, 100),
            after(&mut b, 150),
            after(&mut b, 50),
            after(&mut b, 86400),
        ]
    );
    assert!(b.send(1, answer(&ended[0])).is_empty());
}

#[test]
fn a_new_configuration_keeps_the_flows() {
    let mut old = nat("pattern 1.0.0.1 1024-65535 - - 0 1");
    let out = old.send(0, udp_from(4000));
    let mut new = nat("pattern 1.0.0.1 5000-6000 - - 0 1");
    new.router.take_over(old.router);
    assert_eq!(new.send(0, udp_from(4000)), out);
    assert_eq!(ends(&new.send(1, answer(&out[0]))[0]).3, 4000);
    assert!((5000..=6000).contains(&ends(&new.send(0, udp_from(4001))[0]).1));
}

#[test]
fn handlers_change_patterns_capacity_and_flows() {
    let mut b = between("IPRewriter(pattern P 0 1, drop)", "IPRewriterPatterns(P 1.0.0.1 2000-2999 - -)");
    b.send(0, udp_from(2100));
    assert_eq!(b.read("r.patterns"), "1.0.0.1 2000-2999 - - [1]\n<drop>\n");
    assert_eq!(b.read("r.udp_lookup 10.77.0.2 2100 9.9.9.9 53"), "1.0.0.1 2100 9.9.9.9 53");
    b.write("r.pattern0", "pattern 5.5.5.5 - - - 0 1");
    assert_eq!((b.read("r.size"), ends(&b.send(0, udp_from(2100))[0]).0), ("0".into(), [5; 4]));
    b.write("r.clear", "");
    assert_eq!(b.read("r.size"), "0");
    b.write("r.capacity", "0");
    assert!(b.send(0, udp_from(1)).is_empty());
    for (bad, why) in
        [("pattern x - - - 0 1", "bad source address"), ("keep 0 9", "out of range"), ("nobody", "unknown")]
    {
        let e = b.router.write(&mut b.host, "r.pattern0", bad).unwrap_err().to_string();
        assert!(e.contains(why), "{bad}: {e}");
    }
}

#[test]
fn wrong_specifications_are_refused() {
    for (text, why) in [
        ("IPRewriter(pattern 1.0.0.1 9-8 - - 0 0)", "input spec 0: bad source port"),
        ("IPRewriter(pattern 1.0.0.1 - - - 0 1)", "output port out of range"),
        ("IPRewriter(drop, drop)", "need 1 arguments, one per input port, not 2"),
        ("IPRewriter(keep 0)", "unknown specification"),
    ] {
        let e = errors(&format!("Idle -> {text} -> Discard"));
        assert!(e.contains(why), "{text}: {e}");
    }
}

#[test]
fn addresses_alone_are_rewritten_for_every_protocol() {
    let mut b = between("IPAddrRewriter(pattern 3.0.0.1-3.0.0.2# - 0 1, drop)", "");
    let out = b.send(0, packet(6, (client_ip(0), 5), (OUTSIDE, 80), 2, b""));
    assert_eq!(ends(&out[0]), ([3, 0, 0, 1], 5, OUTSIDE, 80));
    let other = b.send(0, packet(17, ([10, 77, 0, 9], 5), (OUTSIDE, 80), 0, b""));
    assert_eq!(ends(&other[0]).0, [3, 0, 0, 2]);
    let back = b.send(1, packet(17, ([6; 4], 1), ([3, 0, 0, 1], 2), 0, b""));
    assert_eq!(ends(&back[0]), ([6; 4], 1, client_ip(0), 2));
    assert!(b.send(0, packet(17, ([10, 77, 0, 10], 5), (OUTSIDE, 80), 0, b"")).is_empty());
    let mut b = between("IPAddrPairRewriter(pattern 3.0.0.1 4.4.4.4 0 1, drop)", "");
    let out = b.send(0, udp_from(5));
    assert_eq!(ends(&out[0]), ([3, 0, 0, 1], 5, [4; 4], 53));
    assert_eq!(ends(&b.send(1, answer(&out[0]))[0]), (OUTSIDE, 53, client_ip(0), 5));
}

#[test]
fn pings_get_an_identifier_of_their_own() {
    for config in ["pattern 1.0.0.1 100-200 - - 0 1, drop", "1.0.0.1, -"] {
        let mut b = between(&format!("ICMPPingRewriter({config})"), "");
        let request = packet(1, (client_ip(0), 8), (OUTSIDE, 0x1234), 0, b"ping");
        let out = b.send(0, request);
        assert_checksums(&out[0]);
        assert_eq!(out[0][26..30], [1, 0, 0, 1]);
        let identifier = u16::from_be_bytes([out[0][38], out[0][39]]);
        let reply = packet(1, (OUTSIDE, 0), ([1, 0, 0, 1], identifier), 0, b"ping");
        let back = b.send(1, reply);
        assert_checksums(&back[0]);
        assert_eq!((&back[0][30..34], &back[0][38..40]), (&client_ip(0)[..], &[0x12, 0x34][..]));
        let zeros = packet(1, ([10, 77, 0, 9], 8), (OUTSIDE, 0), 0, b"");
        let zeros = [&zeros[..40], &[0; 2]].concat();
        let out = b.send(0, with_checksum(zeros));
        let identifier_of_zeros = u16::from_be_bytes([out[0][38], out[0][39]]);
        let reply = packet(1, (OUTSIDE, 0), ([1, 0, 0, 1], identifier_of_zeros), 0, b"");
        let reply = [&reply[..40], &[0; 2]].concat();
        assert_checksums(&b.send(1, with_checksum(reply))[0]);
        let stranger = packet(1, (OUTSIDE, 0), ([1, 0, 0, 1], identifier ^ 1), 0, b"ping");
        assert!(b.send(1, stranger).is_empty());
    }
}

#[test]
fn errors_about_rewritten_packets_reach_their_senders() {
    let text = "FromDevice(0) -> Strip(14) -> CheckIPHeader -> [0] r :: IPRewriter(pattern 1.0.0.1 1024-65535 - - 0 1, drop);
        FromDevice(1) -> Strip(14) -> CheckIPHeader -> k :: IPClassifier(icmp, -); k [0] -> i :: ICMPRewriter(r); k [1] -> [1] r;
        r [0] -> EtherEncap(0x0800, 1:1:1:1:1:1, 2:2:2:2:2:2) -> Queue -> ToDevice(1);
        r [1] -> Unstrip(14) -> back :: Queue -> ToDevice(0); i -> Unstrip(14) -> back; i [1] -> others :: Counter -> Discard";
    for protocol in [17, 6] {
        let mut b = bench(text);
        b.settle();
        let sent = packet(protocol, (client_ip(0), 4000), (OUTSIDE, 53), 2, b"a question");
        let out = b.send(0, sent.clone());
        for router in [OUTSIDE, [7; 4]] {
            let mut error = vec![3, 1, 0, 0, 0, 0, 0, 0];
            error.extend(&out[0][14..52]);
            let sum = click::headers::checksum(&error);
            error[2..4].copy_from_slice(&sum);
            let mut frame = ip(1, 1, [1, 0, 0, 1], 64, &error);
            frame[26..30].copy_from_slice(&router);
            frame[24..26].fill(0);
            let sum = click::headers::checksum(&frame[14..34]);
            frame[24..26].copy_from_slice(&sum);
            let back = b.send(1, frame);
            assert_checksums(&back[0]);
            assert_eq!((&back[0][26..30], &back[0][30..34]), (&router[..], &client_ip(0)[..]));
            assert_eq!(back[0][42..80], sent[14..52], "what it is about is what was sent");
        }
        b.send(1, ping(1, [1, 0, 0, 1]));
        assert_eq!(b.read("others.count"), "1");
    }
}

#[test]
fn mappers_spread_flows_and_leave_out_what_is_down() {
    let servers = "- - 20.0.0.1 - 0 1, - - 20.0.0.2 - 0 1, - - 20.0.0.3 - 0 1";
    let mut b = between("IPRewriter(m, drop)", &format!("m :: RoundRobinIPMapper({servers})"));
    let server = |b: &mut Bench, port| ends(&b.send(0, udp_from(port))[0]).2[3];
    assert_eq!((1..7).map(|p| server(&mut b, p)).collect::<Vec<_>>(), [1, 2, 3, 1, 2, 3]);
    b.write("m.down", "1");
    assert_eq!((11..15).map(|p| server(&mut b, p)).collect::<Vec<_>>(), [1, 3, 1, 3]);
    assert_eq!(server(&mut b, 2), 2, "what it has goes on");
    assert!(b.read("m.servers").contains("1\tdown\t2\t- - 20.0.0.2 -\n"), "{}", b.read("m.servers"));

    let named = "16 1, - - 20.0.0.1 - 0 1 10, - - 20.0.0.2 - 0 1 20, - - 20.0.0.3 - 0 1 30";
    let mut b = between("IPRewriter(m, drop)", &format!("m :: SourceIPHashMapper({named})"));
    let all = |b: &mut Bench| -> Vec<u8> {
        b.write("r.clear", "");
        let from = |n| packet(17, ([10, 0, 0, n], 9), (OUTSIDE, 53), 0, b"");
        (0..100).map(|n| ends(&b.send(0, from(n))[0]).2[3]).collect()
    };
    let before = all(&mut b);
    assert!((1..4).all(|s| before.iter().filter(|&&x| x == s).count() > 5) && before == all(&mut b));
    b.write("m.down", "2");
    let after = all(&mut b);
    assert!(before.iter().zip(&after).all(|(x, y)| x == y || *x == 3) && !after.contains(&3));
}

#[test]
fn ftp_commands_are_rewritten_and_sequence_numbers_follow() {
    let text = "FromDevice(0) -> Strip(14) -> CheckIPHeader -> FTPPortMapper(c, d, 100.200.100.200 20000-30000 - - 0 1) -> [0] c :: TCPRewriter(pattern 100.200.100.200 1024-65535 - - 0 1, drop);
        FromDevice(1) -> Strip(14) -> CheckIPHeader -> k :: IPClassifier(src port 21, -); k [0] -> [1] c; k [1] -> [0] d :: IPRewriter(drop);
        c [0] -> EtherEncap(0x0800, 1:1:1:1:1:1, 2:2:2:2:2:2) -> Queue -> ToDevice(1);
        c [1] -> q :: Queue -> Unstrip(14) -> ToDevice(0); d [0] -> Discard; d [1] -> q";
    let mut b = bench(text);
    b.settle();
    let control = |seq: u32, ack: u32, data: &[u8]| {
        let mut frame = packet(6, (client_ip(0), 4000), (OUTSIDE, 21), 16, data);
        frame[38..42].copy_from_slice(&seq.to_be_bytes());
        frame[42..46].copy_from_slice(&ack.to_be_bytes());
        frame[50..52].fill(0);
        let sum = click::headers::transport_checksum(client_ip(0), OUTSIDE, 6, &frame[34..]);
        frame[50..52].copy_from_slice(&sum);
        frame
    };
    let number = |frame: &[u8], at: usize| u32::from_be_bytes(core::array::from_fn(|i| frame[at + i]));
    b.send(0, control(1000, 1, b""));
    let command = b"PORT 10,77,0,2,3,9\r\n";
    let out = b.send(0, control(1000, 1, command));
    ends(&out[0]);
    let text = String::from_utf8_lossy(&out[0][54..]).into_owned();
    let (start, port) = text.trim_end().rsplit_once("200,").unwrap();
    assert_eq!(start, "PORT 100,200,100,");
    let port: Vec<u16> = port.split(',').map(|n| n.parse().unwrap()).collect();
    let grown = text.len() as u32 - command.len() as u32;
    assert_eq!(u16::from_be_bytes([out[0][16], out[0][17]]) as usize, 40 + text.len());

    let next = b.send(0, control(1000 + command.len() as u32, 1, b"LIST\r\n"));
    ends(&next[0]);
    assert_eq!(number(&next[0], 38), 1020 + grown);
    let mut reply = answer(&next[0]);
    reply.truncate(54);
    reply[16..18].copy_from_slice(&[0, 40]);
    reply[42..46].copy_from_slice(&(1020 + grown).to_be_bytes());
    reply[24..26].fill(0);
    let sum = click::headers::checksum(&reply[14..34]);
    reply[24..26].copy_from_slice(&sum);
    reply[50..52].fill(0);
    let sum = click::headers::transport_checksum(OUTSIDE, [100, 200, 100, 200], 6, &reply[34..]);
    reply[50..52].copy_from_slice(&sum);
    let back = b.send(1, reply);
    ends(&back[0]);
    assert_eq!(number(&back[0], 42), 1020);

    let data = packet(6, (OUTSIDE, 20), ([100, 200, 100, 200], port[0] << 8 | port[1]), 2, b"");
    assert_eq!(ends(&b.send(1, data)[0]), (OUTSIDE, 20, client_ip(0), 777));
}

#[test]
fn a_flow_may_look_like_its_own_answers() {
    let mut b = nat("pattern 1.0.0.1 1024-65535# - - 0 1");
    let own = || packet(17, ([1, 0, 0, 1], 1024), ([1, 0, 0, 1], 1024), 0, b"");
    assert_eq!(ends(&b.send(0, own())[0]), ([1, 0, 0, 1], 1024, [1, 0, 0, 1], 1024));
    assert_eq!(ends(&b.send(1, own())[0]), ([1, 0, 0, 1], 1024, [1, 0, 0, 1], 1024));
    assert_eq!((b.read("r.table_size"), b.read("r.mapping_failures")), ("1".into(), "0".into()));
    assert_eq!(ends(&b.send(0, udp_from(7))[0]).1, 1025);
    b.write("r.clear", "");
    assert!(b.send(1, own()).is_empty());
}

#[test]
fn without_a_guarantee_a_new_flow_must_last_longer_than_another() {
    let mut b = nat(
        "pattern 1.0.0.1 1024-65535# - - 0 1, CAPACITY 2, GUARANTEE 0, TCP_TIMEOUT 100, TCP_NODATA_TIMEOUT 10",
    );
    let tcp = |port| packet(6, (client_ip(0), port), (OUTSIDE, 80), 16, b"data");
    for port in [1, 2] {
        let out = b.send(0, tcp(port));
        b.send(1, answer(&out[0]));
    }
    assert!(b.send(0, tcp(3)).is_empty(), "it would be the first to be forgotten");
    assert_eq!((b.read("r.size"), b.read("r.mapping_failures")), ("2".into(), "1".into()));
    b.host.clock += 95 * SECOND;
    assert_eq!(b.send(0, tcp(3)).len(), 1);
}

#[test]
fn less_capacity_forgets_what_would_be_forgotten_first() {
    for guarantee in [0, 50] {
        let mut b =
            nat(&format!("pattern 1.0.0.1 1024-65535# - - 0 1, CAPACITY 4, UDP_GUARANTEE {guarantee}"));
        for port in [1, 2, 3, 4, 1, 3] {
            b.host.clock += SECOND;
            b.send(0, udp_from(port));
        }
        b.write("r.capacity", "2");
        let left: Vec<_> =
            (1..5).map(|p| !b.read(&format!("r.lookup 10.77.0.2 {p} 9.9.9.9 53")).is_empty()).collect();
        assert_eq!(left, [true, false, true, false]);
    }
}

#[test]
fn rewriters_share_one_capacity() {
    let mut b = bench(
        "FromDevice(0) -> Strip(14) -> CheckIPHeader -> k :: IPClassifier(src port < 10, -);
        k [0] -> [0] r :: IPRewriter(pattern 1.0.0.1 1024-65535# - - 0 0, CAPACITY s);
        k [1] -> [0] s :: UDPRewriter(pattern 1.0.0.2 1024-65535# - - 0 0, CAPACITY 3);
        r, s -> EtherEncap(0x0800, 1:1:1:1:1:1, 2:2:2:2:2:2) -> Queue -> ToDevice(1)",
    );
    b.settle();
    let passed = |b: &mut Bench, port| {
        b.host.clock += SECOND;
        b.send(0, udp_from(port)).len()
    };
    assert_eq!([1, 11, 12, 13, 2].map(|port| passed(&mut b, port)), [1, 1, 1, 0, 0]);
    assert_eq!(["r.size", "s.size", "r.table_size", "r.capacity"].map(|h| b.read(h)), ["3", "3", "1", "3"]);
    b.host.clock += 10 * SECOND;
    assert_eq!([2, 3].map(|port| passed(&mut b, port)), [1, 1], "the oldest make room, here or there");
    assert_eq!((b.read("r.table_size"), b.read("s.table_size")), ("2".into(), "1".into()));
    b.write("r.capacity", "1");
    assert_eq!(
        (b.read("r.table_size"), b.read("s.capacity"), b.read("s.size")),
        ("1".into(), "1".into(), "1".into())
    );
    b.write("s.clear", "");
    assert_eq!(b.read("r.table_size"), "0");
    for (r, s) in [("r", "5"), ("s", "r"), ("nobody", "5")] {
        let text = format!(
            "Idle -> r :: IPRewriter(drop, CAPACITY {r}) -> Discard; Idle -> s :: IPRewriter(drop, CAPACITY {s}) -> Discard"
        );
        assert!(refused(&text).contains("bad MAPPING_CAPACITY"), "{text}");
    }
}

#[test]
fn answers_and_errors_get_the_annotation_of_their_flow() {
    let text = "FromDevice(0) -> Strip(14) -> CheckIPHeader -> Paint(7) -> [0] r :: IPRewriter(pattern 1.0.0.1 1024-65535 - - 0 1, drop, REPLY_ANNO PAINT);
        FromDevice(1) -> Strip(14) -> CheckIPHeader -> k :: IPClassifier(icmp, -); k [0] -> ICMPRewriter(r, REPLY_ANNO PAINT) -> back; k [1] -> [1] r;
        r [0] -> EtherEncap(0x0800, 1:1:1:1:1:1, 2:2:2:2:2:2) -> Queue -> ToDevice(1);
        r [1] -> back :: CheckPaint(7) -> Unstrip(14) -> Queue -> ToDevice(0)";
    let mut b = bench(text);
    b.settle();
    let out = b.send(0, udp_from(4000));
    assert_eq!(b.send(1, answer(&out[0])).len(), 1);
    let mut error = vec![3, 1, 0, 0, 0, 0, 0, 0];
    error.extend(&out[0][14..42]);
    assert_eq!(b.send(1, ip(1, 1, [1, 0, 0, 1], 64, &error)).len(), 1);
    let e = errors("Idle -> IPRewriter(drop, REPLY_ANNO COLOUR) -> Discard");
    assert!(e.contains("REPLY_ANNO: expected an annotation byte, not 'COLOUR'"), "{e}");
}

#[test]
fn one_timeout_is_for_tcp_too() {
    let mut b = between(
        "UDPRewriter(pattern 1.0.0.1 1024-65535 - - 0 1, drop, GUARANTEE 1, TIMEOUT 4, STREAMING_TIMEOUT 9)",
        "",
    );
    let out = b.send(0, packet(6, (client_ip(0), 5), (OUTSIDE, 80), 16, b""));
    assert!(b.read("r.table").contains("exp4"));
    b.send(1, answer(&out[0]));
    b.send(1, answer(&out[0]));
    assert!(b.read("r.table").contains("exp9"));
}

#[test]
fn a_port_command_may_come_with_the_packet_that_begins_its_connection() {
    let text = "FromDevice(0) -> Strip(14) -> CheckIPHeader -> FTPPortMapper(r, r, 0) -> r :: TCPRewriter(pattern 1.0.0.1 1024-65535# - - 0 0)
        -> EtherEncap(0x0800, 1:1:1:1:1:1, 2:2:2:2:2:2) -> Queue -> ToDevice(1)";
    let control = |port: u16, seq: u32, data: &[u8]| {
        let mut frame = packet(6, (client_ip(0), port), (OUTSIDE, 21), 16, data);
        frame[38..42].copy_from_slice(&seq.to_be_bytes());
        frame
    };
    let command = b"PORT 200,200,200,200,200,200\r\n";
    let mut b = bench(text);
    b.settle();
    for (seq, data) in [(0, &b""[..]), (0, command), (30, b"LIST\r\n")] {
        b.host.devices[0].incoming.push_back(control(4000, seq, data));
    }
    b.settle();
    let out = b.sent();
    assert_eq!(String::from_utf8_lossy(&out[1][54..]), "PORT 1,0,0,1,4,0\r\n");
    let shorter = (command.len() - (out[1].len() - 54)) as u32;
    assert_eq!(out[2][38..42], (30 - shorter).to_be_bytes());
    assert!(b.read("r.table").contains(&format!(" seq -{shorter} [")), "{}", b.read("r.table"));
    // A command of a connection that is not known stays as it is.
    assert_eq!(b.send(0, control(5000, 0, command))[0][54..], *command);
    for (arguments, why) in [("r, r, 1", "DATA_REWRITER_INPUT out of range"), ("r, r, x", "bad input port")] {
        let text = format!("Idle -> FTPPortMapper({arguments}) -> r :: TCPRewriter(drop) -> Discard");
        assert!(refused(&text).contains(why), "{text}: {}", refused(&text));
    }
}

#[test]
fn rewriters_that_name_a_pattern_take_its_ports_in_turn() {
    let one = |name: &str, from: &str| {
        format!(
            "InfiniteSource(DATA x, LIMIT 1) -> UDPIPEncap({from}, 5, 3.0.0.3, 7) -> CheckIPHeader
                -> [0] {name} :: UDPRewriter(pattern P 0 1, drop) -> IPPrint({name}, TIMESTAMP false) -> Discard;
            Idle -> [1] {name}; {name} [1] -> Discard;"
        )
    };
    let text = format!(
        "IPRewriterPatterns(P 1.0.0.1 2000-2009# - -); {} {}",
        one("a", "2.0.0.1"),
        one("b", "2.0.0.2")
    );
    let mut b = bench(&text);
    b.settle();
    assert!(
        b.host.printed.contains("1.0.0.1.2000") && b.host.printed.contains("1.0.0.1.2001"),
        "{}",
        b.host.printed
    );
}
