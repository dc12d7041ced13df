//! What each element does, with packets in memory.

mod common;

use click::Progress;
use click::headers::Arp;
use common::*;

/// Frames that come out of device 1 after one went into device 0, through `path`.
fn through(path: &str, frames: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut b = bench(&format!("FromDevice(0) -> {path} -> Queue -> ToDevice(1)"));
    b.settle();
    frames.into_iter().flat_map(|f| b.send(0, f)).collect()
}

/// Packets that reach each counter `c0`, `c1`, ... after what the sources in `text` sent.
fn counts(text: &str, nanos: u64, n: usize) -> Vec<u64> {
    let mut b = bench(text);
    b.pass(nanos);
    (0..n).map(|i| b.read(&format!("c{i}.count")).parse().unwrap()).collect()
}

const SECOND: u64 = 1_000_000_000;

#[test]
fn sources_send_at_their_rate_and_stop_at_their_limit() {
    let text = "RatedSource(RATE 333, LIMIT -1) -> c0 :: Counter -> Discard; TimedSource(0.1s) -> c1 :: Counter -> Discard;
        InfiniteSource(LIMIT 77) -> c2 :: Counter -> Discard;";
    let n = counts(text, 10 * SECOND, 3);
    assert!((3329..=3332).contains(&n[0]) && n[1] == 100 && n[2] == 77, "{n:?}");
    let mut b =
        bench("s :: InfiniteSource(DATA \\<61 62>, LENGTH 4, LIMIT 2, STOP true) -> c :: Counter -> Discard");
    assert_eq!(b.settle(), Progress::Stopped);
    assert_eq!((b.read("c.byte_count").as_str(), b.read("s.count").as_str()), ("8", "2"));
}

#[test]
fn an_idle_router_sleeps_until_its_timer_or_for_ever() {
    assert_eq!(bench("FromDevice(0) -> Queue -> ToDevice(1)").settle(), Progress::Idle { until: None });
    let timed = bench("TimedSource(1s) -> Queue -> Unqueue -> Discard").settle();
    assert_eq!(timed, Progress::Idle { until: Some(2 * SECOND) });
}

#[test]
fn queues_hold_drop_and_wake() {
    let mut b = bench(
        "s :: InfiniteSource(LIMIT 10) -> q :: Queue(4) -> u :: Unqueue(ACTIVE false) -> c :: Counter -> Discard",
    );
    b.settle();
    assert_eq!(
        ["q.length", "q.drops", "q.highwater_length", "q.capacity"].map(|h| b.read(h)),
        ["4", "0", "4", "4"]
    );
    assert_eq!(b.read("s.count"), "4");
    b.write("u.active", "true");
    b.settle();
    assert_eq!((b.read("q.length"), b.read("c.count")), ("0".into(), "10".into()));
    let mut b = bench("s :: InfiniteSource(LIMIT 10) -> q :: SimpleQueue(4) -> Idle");
    b.settle();
    assert_eq!(["q.length", "q.drops", "q.highwater_length"].map(|h| b.read(h)), ["4", "6", "4"]);
}

#[test]
fn schedulers_choose_their_inputs() {
    let sources =
        "InfiniteSource(LIMIT 100) -> c0 :: Counter -> a :: Queue; InfiniteSource(LIMIT 100) -> b :: Queue;
        a -> x :: Counter -> [0] s; b -> y :: Counter -> [1] s; s -> Shaper(10) -> Discard;";
    let after = |class: &str| {
        let mut b = bench(&format!("s :: {class}; {sources}"));
        b.pass(5 * SECOND);
        (b.read("x.count").parse::<i32>().unwrap(), b.read("y.count").parse::<i32>().unwrap())
    };
    let (x, y) = after("PrioSched");
    assert!((50..=52).contains(&x) && y == 0, "{x} {y}");
    let (x, y) = after("RoundRobinSched");
    assert!((x - y).abs() <= 1 && (50..=52).contains(&(x + y)), "{x} {y}");
}

#[test]
fn shapers_keep_their_rate() {
    let text = "InfiniteSource(LIMIT 900) -> Queue -> Shaper(100) -> c0 :: Counter -> Discard;
        InfiniteSource(LIMIT 900, LENGTH 125) -> Queue -> BandwidthShaper(10kbps) -> c1 :: Counter -> Discard;";
    let n = counts(text, 5 * SECOND, 2);
    assert!((500..=503).contains(&n[0]) && (50..=64).contains(&n[1]), "{n:?}");
}

#[test]
fn switches_tees_and_paint_choose_outputs() {
    let text = "InfiniteSource(LIMIT 6) -> t :: Tee(2); t [0] -> s :: Switch(1); s [0] -> c0 :: Counter -> Discard; s [1] -> c1 :: Counter -> Discard;
        t [1] -> Paint(1) -> p :: PaintSwitch; p [0] -> c2 :: Counter -> Discard; p [1] -> c3 :: Counter -> Discard;
        Idle -> Null -> Discard;";
    assert_eq!(counts(text, 0, 4), [0, 6, 0, 6]);
    let mut b = bench("InfiniteSource(LIMIT 6) -> s :: Switch(-1) -> c :: Counter -> Discard");
    b.settle();
    assert_eq!((b.read("c.count"), b.read("s.switch")), ("0".into(), "-1".into()));
    assert!(b.router.write(&mut b.host, "s.switch", "1").is_err());
}

#[test]
fn random_sample_keeps_its_share() {
    let text = "InfiniteSource(LIMIT 10000) -> r :: RandomSample(0.25) -> c0 :: Counter -> Discard; r [1] -> c1 :: Counter -> Discard;
        InfiniteSource(LIMIT 10) -> RandomSample(DROP 1) -> c2 :: Counter -> Discard;";
    let n = counts(text, 0, 3);
    assert!((2300..=2700).contains(&n[0]) && n[0] + n[1] == 10_000 && n[2] == 0, "{n:?}");
}

#[test]
fn strip_unstrip_and_encapsulation_change_the_front() {
    let frame = udp(0, client_ip(1), 9, 64);
    assert_eq!(through("Strip(14) -> Unstrip(14)", vec![frame.clone()])[0], frame);
    let out = through("Strip(14) -> EtherEncap(0x0800, 2:0:0:0:0:3, eth1:eth)", vec![frame.clone()]);
    assert_eq!(
        (&out[0][..6], &out[0][6..14], &out[0][14..]),
        (&own_mac(1)[..], &[2, 0, 0, 0, 0, 3, 8, 0][..], &frame[14..])
    );
    let out = through("EtherMirror", vec![frame.clone(), vec![1, 2, 3]]);
    assert_eq!((&out[0][..6], out[1].as_slice()), (&client_mac(0)[..], &[1, 2, 3][..]));
    assert!(through("Strip(2000)", vec![frame]).iter().all(Vec::is_empty));
}

#[test]
fn check_ip_header_refuses_what_is_wrong() {
    let good = udp(0, client_ip(1), 9, 64);
    let mut damaged = vec![good.clone(); 6];
    damaged[0].truncate(20);
    damaged[1][14] = 0x65;
    damaged[2][14] = 0x44;
    damaged[3][16] = 200;
    damaged[4][24] ^= 1;
    damaged[5][26..30].copy_from_slice(&[0; 4]);
    let mut b = bench(
        "FromDevice(0) -> Strip(14) -> c :: CheckIPHeader(INTERFACES 10.77.0.1/24) -> good :: Counter -> Discard; c [1] -> bad :: Counter -> Discard",
    );
    let mut padded = good.clone();
    padded.extend([0; 50]);
    for frame in damaged.into_iter().chain([good.clone(), padded]) {
        b.send(0, frame);
    }
    assert_eq!(
        ["good.count", "bad.count", "c.drops", "good.byte_count"].map(|h| b.read(h)),
        ["2", "6", "6", "64"]
    );
}

#[test]
fn dec_ip_ttl_and_ip_mirror_keep_checksums_right() {
    let ip = "Strip(14) -> MarkIPHeader";
    for ttl in [2, 64, 255] {
        let out = through(&format!("{ip} -> DecIPTTL -> Unstrip(14)"), vec![udp(0, client_ip(1), 9, ttl)]);
        assert_eq!(out[0][22], ttl - 1);
        assert_checksums(&out[0]);
    }
    assert!(
        through(&format!("{ip} -> DecIPTTL"), vec![udp(0, client_ip(1), 9, 1), vec![7; 30], vec![]])
            .is_empty()
    );
    let out = through(&format!("{ip} -> IPMirror -> Unstrip(14)"), vec![udp(0, client_ip(1), 9, 64)]);
    assert_eq!(
        (&out[0][26..34], &out[0][34..38]),
        (&[client_ip(1), client_ip(0)].concat()[..], &[0, 9, 15, 160][..])
    );
    assert_checksums(&out[0]);
}

#[test]
fn checksum_setters_repair() {
    let (ip, udp_frame) = ("Strip(14) -> MarkIPHeader", udp(0, client_ip(1), 9, 64));
    let mut broken = udp_frame.clone();
    broken[24] ^= 3;
    broken[40] ^= 3;
    let out = through(&format!("{ip} -> SetIPChecksum -> SetUDPChecksum -> Unstrip(14)"), vec![broken]);
    assert_eq!(out, [udp_frame]);
    let mut tcp = [0; 20];
    tcp[12] = 0x50;
    let out = through(
        &format!("{ip} -> SetTCPChecksum -> Unstrip(14)"),
        vec![ip_frame(6, &tcp), ip_frame(6, &tcp[..10])],
    );
    assert_eq!(out.len(), 1);
    assert_checksums(&out[0]);
}

fn ip_frame(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ip(0, protocol, client_ip(1), 64, payload)
}

#[test]
fn routes_are_looked_up_and_changed() {
    let mut b = bench("FromDevice(0) -> Strip(14) -> CheckIPHeader -> r :: RadixIPLookup(10.0.0.0/8 0, 10.77.1.0/24 9.9.9.9 1);
        r [0] -> c0 :: Counter -> Discard; r [1] -> c1 :: Counter -> Discard");
    let lookups =
        |b: &mut Bench| ["10.1.1.1", "10.77.1.5", "11.0.0.1"].map(|a| b.read(&format!("r.lookup {a}")));
    assert_eq!(lookups(&mut b), ["0", "1 9.9.9.9", "-1"]);
    b.send(0, udp(0, client_ip(1), 9, 64));
    assert_eq!(b.read("c1.count"), "1");
    b.write("r.ctrl", "remove 10.77.1.0/24\nadd 0/0 1");
    assert_eq!(lookups(&mut b), ["0", "0", "1"]);
    assert!(b.router.write(&mut b.host, "r.ctrl", "flush\nadd 1/8 7").is_err());
    let refused = b.router.write(&mut b.host, "r.add", "0/0 1.2.3.4 1").unwrap_err().to_string();
    assert_eq!(refused, "conflict with existing route '0.0.0.0/0 - 1'");
    b.write("r.ctrl", "add 10.0.0.1/32 1\nset 10/8 1.1.1.1 0");
    assert_eq!(b.read("r.table"), "10.0.0.0/8\t1.1.1.1\t0\n0.0.0.0/0\t-\t1\n10.0.0.1/32\t-\t1\n");
    let mut b = bench("Idle -> r :: StaticIPLookup(10.0.0.0/8 0); r -> Discard");
    assert_eq!(b.read("r.lookup 10.1.1.1"), "0");
}

#[test]
fn filters_and_classifiers_sort() {
    let text = "FromDevice(0) -> k :: Classifier(12/0806, 12/0800); k [0] -> c0 :: Counter -> Discard;
        k [1] -> Strip(14) -> CheckIPHeader -> i :: IPClassifier(udp port 53, icmp type echo, -);
        i [0] -> f :: IPFilter(deny src host 10.77.0.9, allow dst port 53); f -> c1 :: Counter -> Discard;
        i [1] -> c2 :: Counter -> Discard; i [2] -> c3 :: Counter -> Discard;";
    let mut b = bench(text);
    for frame in [
        arp(0, 1, own_ip(0)),
        udp(0, client_ip(1), 53, 9),
        ping(0, own_ip(0)),
        udp(0, client_ip(1), 54, 9),
        vec![0; 60],
    ] {
        b.send(0, frame);
    }
    assert_eq!(["c0", "c1", "c2", "c3"].map(|c| b.read(&format!("{c}.count"))), ["1", "1", "1", "1"]);
    assert!(b.read("f.program").contains("drop"));
}

#[test]
fn arp_responder_answers_for_its_addresses() {
    let mut b = bench(
        "FromDevice(0) -> r :: ARPResponder(10.77.0.0/24 2:0:0:0:0:7, eth1) -> Queue -> ToDevice(0); r [1] -> c :: Counter -> Discard",
    );
    let reply = b.send(0, arp(0, 1, [10, 77, 0, 200]));
    assert_eq!(
        (&reply[0][..6], reply[0][21], &reply[0][22..28]),
        (&client_mac(0)[..], 2, &[2, 0, 0, 0, 0, 7][..])
    );
    assert_eq!(b.send(0, arp(0, 1, own_ip(1)))[0][22..28], own_mac(1));
    assert!(b.send(0, arp(0, 1, [10, 78, 0, 1])).is_empty() && b.send(0, vec![8; 50]).is_empty());
    assert_eq!(b.read("c.count"), "2");
    b.write("r.add", "10.78.0.1 2:0:0:0:0:9");
    assert_eq!(b.send(0, arp(0, 1, [10, 78, 0, 1])).len(), 1);
    b.write("r.config", "10.1.0.0/16 2:0:0:0:0:8, 10.1.0.1 10.1.0.1 2:0:0:0:0:9");
    assert_eq!(b.read("r.table"), "10.1.0.1/32 02-00-00-00-00-09\n10.1.0.0/16 02-00-00-00-00-08\n");
    assert_eq!(b.read("r.config"), "10.1.0.0/16 2:0:0:0:0:8, 10.1.0.1 10.1.0.1 2:0:0:0:0:9");
    assert_eq!(
        b.host.printed,
        "While configuring 'r :: ARPResponder':\n  warning: multiple entries for 10.1.0.1/32\n"
    );
    for (handler, value) in [("r.config", "10.1.0.1"), ("r.config", "nonsense")] {
        assert!(b.router.write(&mut b.host, handler, value).is_err());
    }
    assert!(b.read("r.table").starts_with("10.1.0.1/32 "));
}

#[test]
fn arp_querier_asks_waits_and_gives_up() {
    let mut b = bench("FromDevice(1) -> Strip(14) -> CheckIPHeader -> q :: ARPQuerier(eth0, ENTRY_PACKET_CAPACITY 2) -> Queue -> ToDevice(0);
        FromDevice(0) -> [1] q");
    let frame = udp(1, client_ip(0), 9, 64);
    assert_eq!(b.send(1, frame.clone())[0][20..22], [0, 1]);
    b.send(1, frame.clone());
    b.send(1, frame.clone());
    assert_eq!(["q.length", "q.queries", "q.drops"].map(|h| b.read(h)), ["2", "1", "1"]);
    // Answers that nobody asked for are not believed.
    b.send(
        0,
        arp(0, 2, own_ip(0)).into_iter().enumerate().map(|(i, x)| if i == 31 { 99 } else { x }).collect(),
    );
    let sent = b.send(0, arp(0, 2, own_ip(0)));
    assert_eq!((sent.len(), &sent[0][..14]), (2, &[&client_mac(0)[..], &own_mac(0), &[8, 0]].concat()[..]));
    assert!(b.read("q.table").starts_with("10.77.0.2 1 02-01-00-00-00-00"));
    b.pass(61 * SECOND);
    assert_eq!(b.send(1, frame.clone()).len(), 2, "the packet, and a query whether that is still right");
    b.write("q.delete", "10.77.0.2");
    b.send(1, frame);
    assert_eq!(["q.length", "q.queries"].map(|h| b.read(h)), ["1", "3"]);
    assert_eq!(b.pass(700 * SECOND), Progress::Idle { until: None });
    assert_eq!(["q.length", "q.count", "q.drops", "q.queries"].map(|h| b.read(h)), ["0", "0", "2", "3"]);
}

/// A querier for what comes into device 1, with these keywords.
fn querier(keywords: &str) -> Bench {
    bench(&format!(
        "FromDevice(1) -> Strip(14) -> CheckIPHeader -> q :: ARPQuerier(10.77.0.1, 2:0:0:0:0:0{keywords}) -> Queue -> ToDevice(0);
        FromDevice(0) -> [1] q"
    ))
}

/// An answer of the host of a number on device 0, and a frame to it.
fn host(number: u8) -> (Vec<u8>, Vec<u8>) {
    let address = [10, 77, 0, number];
    let target = (own_mac(0), own_ip(0));
    let answer = Arp { operation: 2, sender: ([2, 1, 0, 0, 9, number], address), target };
    (answer.frame(own_mac(0)).to_vec(), udp(1, address, 9, 64))
}

#[test]
fn arp_querier_asks_as_often_as_packets_want_it() {
    let mut b = querier("");
    let queries = |b: &mut Bench, milliseconds: u64, times: usize| {
        let before: u32 = b.read("q.queries").parse().unwrap();
        for _ in 0..times {
            b.send(1, host(9).1);
            b.pass(milliseconds * 1_000_000);
        }
        b.read("q.queries").parse::<u32>().unwrap() - before
    };
    assert_eq!(queries(&mut b, 10, 95), 10);
    // Nobody answers.
    assert_eq!(queries(&mut b, 100, 50), 2);
    b.pass(5 * SECOND);
    assert_eq!((b.read("q.length"), b.read("q.drops")), ("145".into(), "0".into()));
    // What was known is asked for anew.
    b.send(0, host(9).0);
    assert_eq!(queries(&mut b, 100, 5), 0);
    b.pass(60 * SECOND);
    assert_eq!(queries(&mut b, 50, 9), 5);
}

#[test]
fn arp_querier_keeps_what_it_knows_when_the_router_is_replaced() {
    let mut old = querier("");
    old.send(1, host(8).1);
    old.write("q.insert", "10.77.0.9 2:1:0:0:9:9");
    let mut b = querier(", TIMEOUT 1");
    b.router.take_over(old.router);
    assert_eq!(["q.count", "q.length", "q.queries"].map(|h| b.read(h)), ["2", "1", "1"]);
    assert_eq!(b.send(1, host(9).1)[0][..6], [2, 1, 0, 0, 9, 9]);
    b.pass(2 * SECOND);
    assert_eq!(b.send(1, host(9).1)[0][20..22], [0, 1], "the new limit counts");
}

#[test]
fn arp_querier_polls_before_the_packet_goes_out() {
    let mut b = querier(", POLL_TIMEOUT 2, TIMEOUT 10");
    let (answer, frame) = host(9);
    b.send(1, frame.clone());
    b.send(0, answer.clone());
    for _ in 0..3 {
        b.pass(2 * SECOND);
        let sent = b.send(1, frame.clone());
        assert_eq!((sent.len(), &sent[0][..6], sent[0][21]), (2, &[2, 1, 0, 0, 9, 9][..], 1));
        b.send(0, answer.clone());
    }
    let mut b = querier(", POLL_TIMEOUT 2, BROADCAST_POLL true");
    b.write("q.insert", "10.77.0.9 2:1:0:0:9:9");
    b.pass(3 * SECOND);
    assert_eq!(b.send(1, frame.clone())[0][..6], [255; 6]);
}

#[test]
fn arp_querier_drops_what_waits_for_the_oldest() {
    let mut b = querier(", CAPACITY 5");
    for number in [2, 3, 4, 5, 2, 3, 4, 5] {
        b.send(1, host(number).1);
    }
    let sent: Vec<usize> = (2..6).map(|n| b.send(0, host(n).0).len()).collect();
    assert_eq!((sent, b.read("q.drops").as_str()), (vec![0, 1, 2, 2], "3"));
    let mut b = querier(", ENTRY_CAPACITY 2, ENTRY_PACKET_CAPACITY 1");
    b.write("q.insert", "10.77.0.7 2:1:0:0:9:7");
    for number in [2, 3, 3] {
        b.host.clock += SECOND;
        assert_eq!(b.send(1, host(number).1).len(), usize::from(b.read("q.drops") == "0"));
    }
    assert_eq!(b.read("q.table"), "10.77.0.2 0 FF-FF-FF-FF-FF-FF 2\n10.77.0.3 0 FF-FF-FF-FF-FF-FF 1\n");
    assert_eq!(["q.count", "q.length", "q.drops"].map(|h| b.read(h)), ["2", "2", "1"]);
}

#[test]
fn arp_querier_remembers_what_became_too_old_while_it_is_asked_for() {
    let mut b = querier(", TIMEOUT 1.5");
    b.write("q.insert", "10.77.0.8 2:1:0:0:9:8");
    b.write("q.insert", "10.77.0.9 2:1:0:0:9:9");
    b.pass(2 * SECOND);
    b.send(1, host(8).1);
    b.send(1, host(9).1);
    assert_eq!(b.read("q.table"), "10.77.0.9 0 02-01-00-00-09-09 1.5\n10.77.0.8 0 02-01-00-00-09-08 1.5\n");
    assert_eq!(b.send(0, host(8).0).len(), 1);
    b.pass(SECOND);
    assert_eq!(["q.count", "q.length", "q.drops"].map(|h| b.read(h)), ["1", "0", "1"]);
}

#[test]
fn arp_querier_keeps_the_order_when_answers_come_at_once() {
    let mut b = bench(
        "FromDevice(1) -> Strip(14) -> CheckIPHeader -> q :: ARPQuerier(10.77.0.1, 2:0:0:0:0:0) -> Queue -> ToDevice(0);
        q [1] -> ARPResponder(0/0 2:0:0:0:0:9) -> [1] q",
    );
    b.settle();
    for number in (0..200).chain(0..200) {
        b.host.devices[1].incoming.push_back(host(number).1);
    }
    b.settle();
    let sent: Vec<u8> = b.sent().iter().map(|f| f[33]).collect();
    assert!(sent.into_iter().eq((0..200).chain(0..200)));
}

#[test]
fn arp_queries_have_the_times_of_their_packets() {
    let mut b = bench(
        "InfiniteSource(LIMIT 1) -> SetTimestamp(7.5) -> SetIPAddress(1.2.3.4) -> q :: ARPQuerier(1.2.3.5, 2:0:0:0:0:0) -> Discard; q [1] -> ARPPrint -> [1] q",
    );
    b.settle();
    assert_eq!(b.host.printed, "7.500000: arp who-has 1.2.3.4 tell 1.2.3.5\n");
}

#[test]
fn icmp_errors_are_made_for_those_who_may_have_them() {
    let path = "Strip(14) -> CheckIPHeader -> ICMPError(10.77.0.1, unreachable, host) -> Unstrip(14)";
    let out = through(path, vec![udp(0, client_ip(1), 9, 64)]);
    assert_eq!(
        (out[0][34], out[0][35], &out[0][30..34], out[0].len()),
        (3, 1, &client_ip(0)[..], 14 + 28 + 32)
    );
    assert_checksums(&out[0]);
    let error = ip_frame(1, &[3, 1, 0, 0, 0, 0, 0, 0]);
    let everybody = ip(0, 17, [255; 4], 64, &[0; 8]);
    assert!(through(path, vec![error, everybody]).is_empty());
}

#[test]
fn pings_are_answered() {
    let path = "Strip(14) -> CheckIPHeader -> ICMPPingResponder -> Unstrip(14)";
    let out = through(path, vec![ping(0, own_ip(0)), udp(0, own_ip(0), 9, 64), ip_frame(1, &[8])]);
    assert_eq!((out.len(), out[0][34]), (1, 0));
    assert_checksums(&out[0]);
}

#[test]
fn udp_encapsulation_is_right() {
    let out = through(
        "Strip(14) -> UDPIPEncap(1.2.3.4, 5, 6.7.8.9, 10) -> EtherEncap(0x0800, 0:0:0:0:0:1, 0:0:0:0:0:2)",
        vec![vec![7; 31]],
    );
    assert_eq!((out[0].len(), &out[0][26..38]), (14 + 28 + 17, &[1, 2, 3, 4, 6, 7, 8, 9, 0, 5, 0, 10][..]));
    assert_checksums(&out[0]);
}

#[test]
fn print_and_counter_say_what_passes() {
    let mut b = bench(
        "InfiniteSource(DATA \\<0102030405>, LIMIT 1) -> Print(hello) -> Print(CONTENTS ASCII, MAXLENGTH 2) -> c :: Counter(COUNT_CALL 1 d.reset_counts) -> d :: Discard",
    );
    b.settle();
    assert_eq!(b.host.printed, "hello:    5 | 01020304 05\n   5 |  ..\n");
    assert_eq!(["c.count", "c.byte_count", "c.bit_count"].map(|h| b.read(h)), ["1", "5", "40"]);
    let mut b = bench("RatedSource(RATE 100) -> c :: Counter -> Discard");
    b.pass(10 * SECOND);
    let rate: f64 = b.read("c.rate").parse().unwrap();
    assert!((95.0..105.0).contains(&rate), "{rate}");
}

#[test]
fn devices_that_are_full_are_tried_again() {
    let mut b = bench("InfiniteSource(LIMIT 50) -> Queue -> t :: ToDevice(0)");
    b.host.devices[0].room = Some(20);
    assert_eq!(b.settle(), Progress::Idle { until: None });
    assert_eq!(b.sent().len(), 20);
    b.host.devices[0].room = None;
    b.settle();
    assert_eq!((b.sent().len(), b.read("t.count")), (30, "50".into()));
}

#[test]
fn scripts_read_write_wait_and_stop() {
    let mut b = bench("s :: Switch(0); Idle -> s; s [0] -> Discard; s [1] -> Discard;
        Script(init x 1, print \"at $x\", wait 2s, set x $(add $x 1), write s.switch $(sub $x 1), read s.switch, goto done $(eq $x 2), print \"no\", label done, stop);
        p :: Script(TYPE PASSIVE, returnq \"$(mul $1 $2)\")");
    assert_eq!(b.settle(), Progress::Idle { until: Some(3 * SECOND) });
    assert_eq!(b.read("p.run 6 7"), "42");
    assert_eq!(b.pass(5 * SECOND), Progress::Stopped);
    assert_eq!(b.host.printed, "at 1\ns.switch:\n1\n");
    let mut b = bench(
        "Script(TYPE DRIVER, pause, print \"asked\", wait 1s, print \"over\"); InfiniteSource(LIMIT 1, STOP true) -> Discard",
    );
    assert_eq!(b.pass(5 * SECOND), Progress::Stopped);
    assert_eq!(b.host.printed, "asked\nover\n");
}

#[test]
fn address_info_names_addresses() {
    let mut b = bench(
        "AddressInfo(net 10.5.0.0/16, me 10.5.0.1 2:0:0:0:0:5); Idle -> r :: ARPResponder(me); r -> Discard; Idle -> l :: StaticIPLookup(net 0); l -> Discard",
    );
    assert_eq!(
        (b.read("r.table"), b.read("l.lookup me")),
        ("10.5.0.1/32 02-00-00-00-00-05\n".into(), "0".into())
    );
}

#[test]
fn networks_have_a_broadcast_address_and_services_a_port() {
    let mut b = bench(
        "AddressInfo(net 10.5.6.7/20); PortInfo(one 4001/udp other # both, two 4002); Idle -> l :: StaticIPLookup(net:bcast/32 0) -> Discard;
         Idle -> u :: UDPIPEncap(1.0.0.1, other, 2.0.0.2, ssh) -> Discard",
    );
    assert_eq!(
        (b.read("l.table"), b.read("u.sport"), b.read("u.dport")),
        ("10.5.15.255/32\t-\t0\n".into(), "4001".into(), "22".into())
    );
}

#[test]
fn handlers_are_listed_and_guarded() {
    let mut b = bench("i :: Idle -> c :: Counter -> Discard");
    assert_eq!(b.read("list"), "3\ni\nc\nDiscard@3\n");
    assert_eq!((b.read("c.class"), b.read("c.name")), ("Counter".into(), "c".into()));
    assert!(b.read("c.handlers").contains("count\tr\n") && b.read("c.ports").contains("push~\t-\ti [0]"));
    assert!(b.read("flatconfig").contains("i -> c;"));
    for handler in ["c.nothing", "x.count", "nothing", "c.reset"] {
        assert!(b.router.read(&mut b.host, handler).is_err(), "{handler}");
    }
    assert!(b.router.write(&mut b.host, "c.count", "1").is_err());
    b.write("stop", "");
    assert_eq!(b.settle(), Progress::Stopped);
}

#[test]
fn a_new_configuration_takes_over_state() {
    let text = "InfiniteSource(LIMIT 5) -> c :: Counter -> q :: Queue -> Unqueue(ACTIVE false) -> Discard";
    let mut old = bench(text);
    old.settle();
    let mut new = bench("Idle -> c :: Counter -> q :: Queue(3) -> u :: Unqueue -> d :: Counter -> Discard");
    new.settle();
    new.router.take_over(old.router);
    new.settle();
    assert_eq!(["c.count", "d.count", "q.drops"].map(|h| new.read(h)), ["5", "3", "2"]);
}

#[test]
fn elements_are_configured_anew_while_they_run() {
    let text = "s :: InfiniteSource(DATA A, LIMIT 3) -> n :: Counter -> k :: Classifier(0/41, -) -> a :: Discard; k [1] -> b :: Discard;
        q :: Queue; Idle -> q -> Idle; e :: Script(TYPE PASSIVE)";
    let mut b = bench(text);
    b.settle();
    b.write("k.config", "0/42, -");
    b.write("n.config", "");
    b.write("s.config", "DATA A, LIMIT 2");
    b.settle();
    assert_eq!(["a.count", "b.count", "n.count", "k.config"].map(|h| b.read(h)), ["3", "2", "5", "0/42, -"]);
    let mut refused =
        |handler: &str, value: &str| b.router.write(&mut b.host, handler, value).unwrap_err().to_string();
    assert!(refused("k.config", "zz, -").contains("zz"));
    assert!(refused("q.config", "20").contains("cannot be written"));
    assert_eq!(b.read("k.config"), "0/42, -");
    assert!(b.read("k.handlers").contains("config\trw") && b.read("e.handlers").contains("config\tr\n"));
}
