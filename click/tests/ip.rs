//! IP and what is above it, with packets in memory.

mod common;

use click::headers::checksum;
use common::*;
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;
const IP: &str = "Strip(14) -> CheckIPHeader";

/// Frames that come out of device 1 after some went into device 0, through `path` behind a checked header.
fn through(path: &str, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut b = bench(&format!("FromDevice(0) -> {IP} -> {path} -> Unstrip(14) -> Queue -> ToDevice(1)"));
    b.settle();
    frames.iter().flat_map(|f| b.send(0, f.clone())).collect()
}

fn packet() -> Vec<u8> {
    udp(0, client_ip(1), 9, 64)
}

fn large(length: usize) -> Vec<u8> {
    let mut payload: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
    payload[..8].copy_from_slice(&[0, 9, 0, 9, (length >> 8) as u8, length as u8, 0, 0]);
    let sum = click::headers::transport_checksum(client_ip(0), client_ip(1), 17, &payload);
    payload[6..8].copy_from_slice(&sum);
    ip(0, 17, client_ip(1), 64, &payload)
}

/// With the header's checksum right again.
fn sealed(mut frame: Vec<u8>) -> Vec<u8> {
    let end = 14 + usize::from(frame[14] & 15) * 4;
    frame[24..26].fill(0);
    let sum = checksum(&frame[14..end]);
    frame[24..26].copy_from_slice(&sum);
    frame
}

#[test]
fn filters_look_at_headers_in_front_of_the_data() {
    let passes = |path: &str, rule: &str| {
        let mut b =
            bench(&format!("FromDevice(0) -> {path} -> IPFilter(allow {rule}) -> Queue -> ToDevice(1)"));
        b.settle();
        b.send(0, packet()).len() == 1
    };
    // The client's Ethernet address, and one that is not.
    let (own, other) = ("02:00:00:00:00:10", "02:00:00:00:00:11");
    let frame = packet();
    let mac: Vec<String> = frame[6..12].iter().map(|b| format!("{b:02x}")).collect();
    let (own, other) = if mac.join(":") == own { (own.to_string(), other) } else { (mac.join(":"), other) };
    let stripped = format!("MarkMACHeader -> {IP}");
    assert!(passes(&stripped, &format!("src {own} and udp")));
    assert!(!passes(&stripped, &format!("src {other}")));
    assert!(passes(&stripped, &format!("src ether host != {other}")));
    assert!(passes(&format!("{IP} -> Strip(20)"), "udp && ip proto 17 && ip vers 4"));
}

#[test]
fn header_fields_are_set_and_checksums_follow() {
    for (path, at, value) in [
        ("SetIPDSCP(46)", 15, 184),
        ("SetIPECN(CE)", 15, 3),
        ("SetIPECN(ECT1) -> MarkIPCE", 15, 3),
        ("MarkIPCE(FORCE true)", 15, 3),
        ("StoreIPAddress(9.8.7.6, src)", 26, 9),
        ("SetIPAddress(5.6.7.8) -> StoreIPAddress(dst)", 30, 5),
        ("StripIPHeader -> UnstripIPHeader", 14, 0x45),
    ] {
        let out = through(path, &[packet()]);
        assert_eq!(out[0][at], value, "{path}");
        assert_checksums(&out[0]);
    }
    assert!(through("MarkIPCE", &[packet()]).is_empty());
    assert_eq!(through("GetIPAddress(12) -> StoreIPAddress(16)", &[packet()])[0][30..34], client_ip(0));
    assert_eq!(through("GetIPAddress(src) -> StoreIPAddress(dst)", &[packet()])[0][30..34], client_ip(0));
    let out = through("SetRandIPAddress(7.7.0.0/16, 3) -> StoreIPAddress(dst)", &vec![packet(); 20]);
    let different: std::collections::BTreeSet<_> = out.iter().map(|f| f[30..34].to_vec()).collect();
    assert!(different.len() <= 3 && different.iter().all(|a| a[..2] == [7, 7]));
}

#[test]
fn encapsulations_have_right_checksums() {
    for (path, protocol) in [
        ("IPEncap(udp, 1.2.3.4, 5.6.7.8, DSCP 46, DF true)", 17),
        ("TCPIPEncap(1.2.3.4, 5, DST_ANNO, 7, SEQNO 100, FLAGS SYN ACK)", 6),
        ("ICMPPingEncap(1.2.3.4, 5.6.7.8, IDENTIFIER 77)", 1),
        ("ICMPIPEncap(1.2.3.4, 5.6.7.8, echo_reply)", 1),
    ] {
        let mut b = bench(&format!(
            "InfiniteSource(DATA abcdefgh, LIMIT 1) -> SetIPAddress(5.6.7.8) -> {path} -> EtherEncap(0x0800, 1:1:1:1:1:1, 2:2:2:2:2:2) -> Queue -> ToDevice(1)"
        ));
        b.settle();
        let frame = b.sent().remove(0);
        assert_eq!((frame[23], &frame[26..34]), (protocol, &[1, 2, 3, 4, 5, 6, 7, 8][..]), "{path}");
        if protocol == 17 {
            assert_eq!((checksum(&frame[14..34]), frame[15], frame[20]), ([0, 0], 184, 0x40));
        } else {
            assert_checksums(&frame);
        }
    }
}

#[test]
fn transport_headers_are_checked() {
    let tcp = {
        let mut segment = vec![0; 24];
        segment[12] = 0x50;
        let sum = click::headers::transport_checksum(client_ip(0), client_ip(1), 6, &segment);
        segment[16..18].copy_from_slice(&sum);
        ip(0, 6, client_ip(1), 64, &segment)
    };
    for (element, good, broken) in [
        ("CheckUDPHeader", packet(), 44),
        ("CheckTCPHeader", tcp, 46),
        ("CheckICMPHeader", ping(0, own_ip(0)), 42),
    ] {
        let mut b = bench(&format!(
            "FromDevice(0) -> {IP} -> e :: {element} -> c0 :: Counter -> Discard; e [1] -> c1 :: Counter -> Discard"
        ));
        b.settle();
        let mut bad = good.clone();
        bad[broken] ^= 1;
        let mut short = good.clone();
        short.truncate(36);
        short[16..18].copy_from_slice(&[0, 22]);
        for frame in [good, bad, sealed(short), ip(0, 99, client_ip(1), 64, &[0; 30])] {
            b.send(0, frame);
        }
        assert_eq!(
            (b.read("c0.count"), b.read("c1.count"), b.read("e.drops")),
            ("1".into(), "3".into(), "3".into()),
            "{element}"
        );
        assert!(b.read("e.drop_details").contains("1\tbad"), "{}", b.read("e.drop_details"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn what_was_fragmented_is_put_together_in_whatever_order(length in 8usize..3000, mtu in 28usize..1500, order: u64, again in 28usize..1500) {
        let frame = large(length);
        let fragments = through(&format!("IPFragmenter({mtu}) -> IPFragmenter({again})"), std::slice::from_ref(&frame));
        prop_assert!(fragments.iter().all(|f| f.len() <= 14 + mtu.min(again) && checksum(&f[14..34]) == [0, 0]));
        let mut b = bench(&format!("FromDevice(0) -> {IP} -> r :: IPReassembler -> Unstrip(14) -> Queue -> ToDevice(1); r [1] -> Discard"));
        b.settle();
        let mut shuffled: Vec<_> = fragments.into_iter().enumerate().collect();
        shuffled.sort_by_key(|(i, _)| (*i as u64 + 1).wrapping_mul(order | 1) % 65521);
        let out: Vec<_> = shuffled.into_iter().flat_map(|(_, f)| b.send(0, f)).collect();
        prop_assert_eq!(&out[0][34..], &frame[34..]);
        prop_assert_eq!((out.len(), b.read("r.waiting")), (1, "0".to_string()));
    }
}

#[test]
fn packets_that_must_not_be_cut_are_sent_elsewhere() {
    let mut whole = large(2000);
    whole[20] = 0x40;
    let mut b = bench(&format!(
        "FromDevice(0) -> {IP} -> f :: IPFragmenter(1000) -> c0 :: Counter -> Discard; f [1] -> c1 :: Counter -> Discard"
    ));
    b.settle();
    b.send(0, sealed(whole));
    b.send(0, large(2000));
    assert_eq!(
        (b.read("c0.count"), b.read("c1.count"), b.read("f.fragments")),
        ("3".into(), "1".into(), "3".into())
    );
}

#[test]
fn fragments_that_wait_too_long_overlap_or_take_too_much_are_given_up() {
    let fragments = through("IPFragmenter(500)", &[large(2000)]);
    let run = |keyword: &str, frames: &[Vec<u8>], seconds: u64| {
        let mut b = bench(&format!(
            "FromDevice(0) -> {IP} -> r :: IPReassembler({keyword}) -> c0 :: Counter -> Discard; r [1] -> c1 :: Counter -> Discard"
        ));
        b.settle();
        frames.iter().for_each(|f| drop(b.send(0, f.clone())));
        b.pass(seconds * SECOND);
        ["r.waiting", "c0.count", "c1.count"].map(|h| b.read(h))
    };
    assert_eq!(run("", &fragments[..3], 29), ["1", "0", "0"]);
    assert_eq!(run("", &fragments[..3], 31), ["0", "0", "3"]);
    assert_eq!(run("MAX_MEM 4000", &fragments[..3], 0), ["1", "0", "2"]);
    let mut overlapping = fragments[1].clone();
    overlapping[21] -= 1;
    assert_eq!(run("", &[fragments[0].clone(), sealed(overlapping)], 0), ["0", "0", "2"]);
    assert_eq!(run("", &[fragments[0].clone(), fragments[0].clone()], 0), ["1", "0", "1"]);
}

#[test]
fn options_are_done_and_wrong_ones_pointed_at() {
    let with = |option: &[u8]| {
        let mut frame = packet();
        frame[14] = 0x45 + (option.len() / 4) as u8;
        frame.splice(34..34, option.iter().copied());
        let total = (frame.len() - 14) as u16;
        frame[16..18].copy_from_slice(&total.to_be_bytes());
        sealed(frame)
    };
    let path = "IPGWOptions(1.2.3.4, 5.6.7.8)";
    let out = through(path, &[with(&[7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0])]);
    assert_eq!((&out[0][34..41], checksum(&out[0][14..46])), (&[7, 11, 8, 1, 2, 3, 4][..], [0, 0]));
    let out = through(path, &[with(&[68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0])]);
    assert_eq!((&out[0][34..42], out[0][42] < 6), (&[68, 12, 13, 1, 1, 2, 3, 4][..], true));
    let out = through(path, &[with(&[68, 12, 5, 3, 9, 9, 9, 9, 0, 0, 0, 0])]);
    assert_eq!(out[0][36], 5, "another router's turn");
    let mut b = bench(&format!(
        "FromDevice(0) -> {IP} -> g :: {path} -> Discard; g [1] -> ICMPError(1.2.3.4, parameterproblem) -> Unstrip(14) -> Queue -> ToDevice(1)"
    ));
    b.settle();
    let error = b.send(0, with(&[7, 3, 2, 0]));
    assert_eq!((error[0][34], error[0][38]), (12, 22));
}

#[test]
fn combinations_do_what_their_parts_do() {
    let mut b = bench(
        "FromDevice(0) -> i :: IPInputCombo(7) -> o :: IPOutputCombo(7, 1.2.3.4, 100) -> Unstrip(14) -> Queue -> ToDevice(1); i [1] -> bad :: Counter -> Discard; o [1] -> p :: Counter -> Discard; o [2] -> Discard; o [3] -> t :: Counter -> Discard; o [4] -> l :: Counter -> Discard",
    );
    b.settle();
    let out = b.send(0, packet());
    assert_eq!(out[0][22], 63);
    assert_checksums(&out[0]);
    let mut damaged = packet();
    damaged[24] ^= 1;
    for frame in [damaged, udp(0, client_ip(1), 9, 1), large(200)] {
        assert!(b.send(0, frame).is_empty());
    }
    assert_eq!(["bad", "p", "t", "l"].map(|c| b.read(&format!("{c}.count"))), ["1", "3", "1", "1"]);
}

#[test]
fn errors_go_back_the_way_that_a_source_route_says() {
    let with = |option: &[u8]| {
        let mut frame = packet();
        frame[14] = 0x45 + (option.len() / 4) as u8;
        frame.splice(34..34, option.iter().copied());
        let total = (frame.len() - 14) as u16;
        frame[16..18].copy_from_slice(&total.to_be_bytes());
        sealed(frame)
    };
    let error = |kind: &str, option: &[u8]| through(&format!("ICMPError(1.2.3.4, {kind})"), &[with(option)]);
    // Two of three addresses are travelled.
    let route = [1, 131, 15, 12, 9, 9, 9, 1, 9, 9, 9, 2, 9, 9, 9, 3];
    let out = error("timeexceeded", &route);
    assert_eq!((out[0][14], &out[0][34..46]), (0x48, &[131, 11, 4, 9, 9, 9, 2, 9, 9, 9, 1, 0][..]));
    assert_eq!((checksum(&out[0][14..46]), checksum(&out[0][46..]), out[0][46]), ([0, 0], [0, 0], 11));
    assert!(error("redirect", &route).is_empty());
    assert_eq!(error("timeexceeded", &[137, 3, 4, 0])[0][34..38], [137, 3, 4, 0], "nothing is travelled yet");
    for wrong in
        [[131, 3, 5, 0], [131, 3, 8, 0], [131, 9, 4, 0], [131, 1, 4, 0], [7, 3, 4, 0], [1, 1, 1, 131]]
    {
        assert_eq!(error("timeexceeded", &wrong)[0][14], 0x45, "{wrong:?}");
    }
    let path = "SetAnnoByte(17, 22) -> ICMPError(1.2.3.4, parameterproblem)";
    assert_eq!(through(path, &[with(&route)])[0][14], 0x45, "it is what is wrong");
}

#[test]
fn errors_get_the_address_of_the_network_they_leave_to() {
    let out = through("ICMPError(10.77.0.1, unreachable, host) -> FixIPSrc(8.8.4.4)", &[packet()]);
    assert_eq!(out[0][26..30], [8, 8, 4, 4]);
    assert_checksums(&out[0]);
    assert_eq!(through("FixIPSrc(8.8.4.4)", &[packet()])[0][26..30], client_ip(0));
}

#[test]
fn packets_are_printed_in_words() {
    let printed = |arguments: &str, frame: Vec<u8>| {
        let mut b = bench(&format!("FromDevice(0) -> {IP} -> IPPrint({arguments}) -> Discard"));
        b.settle();
        b.send(0, frame);
        b.host.printed
    };
    assert_eq!(
        printed("x, TIMESTAMP false, TTL true", packet()),
        "x: ttl 64 10.77.0.2.4000 > 10.77.1.2.9: udp 12\n"
    );
    assert_eq!(printed("TIMESTAMP false", ping(0, own_ip(0))), "10.77.0.2 > 10.77.0.1: icmp echo (1, 2)\n");
    assert!(printed("TIMESTAMP false, PAYLOAD ASCII", packet()).ends_with("udp 12\n  data\n"));
    let text = printed("TIMESTAMP false, PAYLOAD HEX", large(8 + 30));
    assert!(
        text.ends_with("\n  08090a0b 0c0d0e0f 10111213 14151617 18191a1b 1c1d1e1f\n  20212223 2425\n"),
        "{text}"
    );
    let tcp =
        ip(0, 6, client_ip(1), 64, &[0, 1, 0, 2, 0, 0, 0, 5, 0, 0, 0, 6, 0x50, 0x12, 1, 0, 0, 0, 0, 0, 7, 7]);
    assert_eq!(
        printed("TIMESTAMP false", tcp.clone()),
        "10.77.0.2.1 > 10.77.1.2.2: S 5:8(3,42,42) ack 6 win 256\n"
    );
    let mut cut = tcp.clone();
    cut.truncate(14 + 34);
    cut[47] = 0;
    let printed_short = |frame: &[u8], rule: &str| {
        let mut b =
            bench(&format!("FromDevice(0) -> Strip(14) -> MarkIPHeader -> IPPrint({rule}) -> Discard"));
        b.settle();
        b.send(0, frame.to_vec());
        b.host.printed
    };
    assert_eq!(
        printed_short(&cut, "TIMESTAMP false, AGGREGATE true"),
        "#0: 10.77.0.2.1 > 10.77.1.2.2: . 5:7(2,34,42) win truncated-tcp\n".replace(" win ", "")
    );
    assert!(printed_short(&cut[..36], "").ends_with("10.77.0.2 > 10.77.1.2: truncated-tcp\n"));
    assert!(printed_short(&packet()[..40], "").ends_with("10.77.0.2.4000 > 10.77.1.2.9: truncated-udp\n"));
}

#[test]
fn fragments_and_errors_are_printed_in_words() {
    let mut b = bench(&format!(
        "FromDevice(0) -> {IP} -> t :: Tee -> IPFragmenter(124) -> IPPrint(TIMESTAMP false) -> Discard;
        t [1] -> ICMPError(10.77.0.1, unreachable, port) -> IPPrint(e, TIMESTAMP false)
            -> ICMPError(10.77.0.9, unreachable, needfrag, PMTU 9) -> Discard"
    ));
    b.settle();
    b.send(0, large(200));
    let [first, last, error] = *b.host.printed.lines().collect::<Vec<_>>() else {
        panic!("{}", b.host.printed)
    };
    assert!(first.starts_with("10.77.0.2.9 > 10.77.1.2.9: udp 200 (frag ") && first.ends_with(":104@0+)"));
    assert!(last.starts_with("10.77.0.2 > 10.77.1.2: udp (frag ") && last.ends_with(":96@104)"));
    assert_eq!(error, "e: 10.77.0.1 > 10.77.0.2: icmp 10.77.1.2 unreachable port udp/9");
    for (error, text) in [
        ("timeexceeded", "icmp timeexceeded transit"),
        ("unreachable", "icmp 10.77.1.2 unreachable net"),
        ("unreachable, needfrag, PMTU 900", "icmp 10.77.1.2 unreachable needfrag (mtu 900)"),
        ("unreachable, 2", "icmp 10.77.1.2 unreachable protocol udp"),
        ("redirect, 77", "icmp redirect code 77"),
    ] {
        let mut b =
            bench(&format!("FromDevice(0) -> {IP} -> ICMPError(10.77.0.1, {error}) -> IPPrint -> Discard"));
        b.settle();
        b.send(0, packet());
        assert_eq!(b.host.printed, format!("1700000001.000000: 10.77.0.1 > 10.77.0.2: {text}\n"));
    }
}

#[test]
fn addresses_are_stored_in_odd_headers_too() {
    let mut b = bench(
        "InfiniteSource(LIMIT 1, DATA \\<99999999 99999999 99999999 99999999 99999999>) -> MarkIPHeader -> SetIPAddress(1.0.0.2) -> StoreIPAddress(src) -> Print -> Discard",
    );
    b.settle();
    assert_eq!(b.host.printed, "  20 | 99999999 99999999 9999cbca 01000002 99999999\n");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn broken_packets_are_printed_and_answered_too(
        protocol in proptest::sample::select(vec![1u8, 6, 17]),
        options in 0u8..11,
        length in 20usize..140,
        body in proptest::collection::vec(0u8..12, 140),
        changes in proptest::collection::vec((0usize..60, any::<u8>()), 0..6),
    ) {
        let mut bytes = body;
        click::headers::write_ipv4(&mut bytes, 100, 7, protocol, client_ip(0), client_ip(1));
        bytes[0] += options;
        bytes[20..24].copy_from_slice(&[131, 11, 8, 1]);
        changes.into_iter().for_each(|(at, byte)| bytes[at] = byte);
        bytes.truncate(length);
        for path in [
            "IPPrint(PAYLOAD ASCII, ID true, PAINT true, AGGREGATE true)",
            "IPPrint(CONTENTS HEX, MAXLENGTH -1)",
            "ICMPError(1.2.3.4, parameterproblem) -> CheckIPHeader -> IPPrint",
            "ICMPError(1.2.3.4, unreachable, port) -> CheckIPHeader -> IPPrint",
            "StoreIPAddress(1.2.3.4, src)",
        ] {
            let mut b = bench(&format!("FromDevice(0) -> MarkIPHeader -> {path} -> Discard"));
            b.settle();
            b.send(0, bytes.clone());
        }
    }
}

#[test]
fn pings_are_sent_and_their_answers_timed() {
    let mut b = bench(
        "FromDevice(0) -> Strip(14) -> CheckIPHeader -> p :: ICMPPingSource(10.77.0.1, 10.77.0.2, INTERVAL 2, LIMIT 3, IDENTIFIER 9, DATA hello) -> EtherEncap(0x0800, eth0, 2:1:0:0:0:0) -> Queue -> ToDevice(0)",
    );
    b.pass(2 * SECOND);
    let request = b.sent().remove(0);
    assert_checksums(&request);
    let mut reply = request.clone();
    reply[26..34].rotate_left(4);
    reply[34] = 0;
    let sum = click::headers::update([reply[36], reply[37]], [8, 0], [0, 0]);
    reply[36..38].copy_from_slice(&sum);
    b.host.clock += SECOND / 2;
    b.send(0, reply.clone());
    b.send(0, reply);
    b.pass(20 * SECOND);
    assert_eq!(["count", "received", "rtt_avg"].map(|h| b.read(&format!("p.{h}"))), ["3", "1", "0.5"]);
    assert!(b.host.printed.contains("13 bytes from 10.77.0.2: icmp_seq=1 time=0.5"));
}

#[test]
fn rates_are_measured_where_there_is_traffic() {
    let mut b = bench(&format!(
        "RatedSource(DATA \\<{}>, RATE 500) -> MarkIPHeader -> m :: IPRateMonitor(PACKETS, 1, 100) -> k :: Block(300) -> low :: Counter -> Discard; k [1] -> high :: Counter -> Discard; Idle -> [1] m; m [1] -> Discard",
        packet()[14..].iter().map(|b| format!("{b:02x}")).collect::<String>()
    ));
    b.pass(10 * SECOND);
    let look = b.read("m.look");
    let line = look.lines().find(|l| l.starts_with("10.77.0.2\t")).unwrap_or_else(|| panic!("{look}"));
    let rate: f64 = line.split('\t').nth(1).unwrap().parse().unwrap();
    assert!((400.0..650.0).contains(&rate), "{look}");
    assert!(b.read("high.count").parse::<u32>().unwrap() > 4000);
    b.write("m.anno_level", "10.0.0.0 0 100");
    assert!(!b.read("m.look").contains("10.77.*"));
    b.write("m.reset", "");
    assert_eq!(b.read("m.mem"), "0");
}

#[test]
fn expressions_can_be_replaced_while_packets_pass() {
    let mut b = bench(&format!(
        "FromDevice(0) -> {IP} -> k :: IPClassifier(tcp, -) -> c0 :: Counter -> Discard; k [1] -> c1 :: Counter -> Discard"
    ));
    b.settle();
    b.send(0, packet());
    b.write("k.pattern0", "udp dst port 9");
    b.send(0, packet());
    assert_eq!([b.read("c0.count"), b.read("c1.count"), b.read("k.pattern0")], ["1", "1", "udp dst port 9"]);
    assert!(b.router.write(&mut b.host, "k.pattern0", "nonsense").is_err());
    assert!(b.router.read(&mut b.host, "k.pattern2").is_err());
}

#[test]
fn names_of_a_compound_are_known_inside_it_only() {
    let text = "AddressInfo(a 1.0.0.1); PortInfo(p 5);
        elementclass C { AddressInfo(b 2.0.0.1, a 3.0.0.1); PortInfo(p 6);
            input -> { input -> UDPIPEncap(a, p, b, 7) -> output } -> output }
        InfiniteSource(DATA x, LIMIT 1) -> C -> CheckIPHeader -> IPPrint(in, TIMESTAMP false) -> Discard;
        InfiniteSource(DATA x, LIMIT 1) -> UDPIPEncap(a, p, 9.9.9.9, 7) -> CheckIPHeader -> IPPrint(out, TIMESTAMP false) -> Discard;";
    let mut b = bench(text);
    b.settle();
    let lines: Vec<_> = b.host.printed.lines().collect();
    assert!(lines[0].starts_with("in: 3.0.0.1.6 > 2.0.0.1.7"), "{lines:?}");
    assert!(lines[1].starts_with("out: 1.0.0.1.5 > 9.9.9.9.7"), "{lines:?}");
    let outside =
        "elementclass C { AddressInfo(b 2.0.0.1); input -> output } Idle -> C -> SetIPAddress(b) -> Discard";
    let source = click::Source { name: "x", text: outside };
    assert!(click::check(&source, &[]).unwrap_err().to_string().contains("expected an IP address, not 'b'"));
}

#[test]
fn the_answer_to_a_ping_of_zeros_has_a_checksum_that_holds() {
    let request = ip(0, 1, client_ip(1), 64, &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]);
    let path = "ICMPPingResponder -> CheckIPHeader -> CheckICMPHeader";
    assert_eq!(through(path, &[request]).len(), 1);
}
