//! IPv4 hosts behind IPv6 ones and the other way, and the sources that make load.

mod common;

use common::bench;

const IP4: &str = "InfiniteSource(DATA \"abc\", LIMIT 1) -> UDPIPEncap(10.0.0.1, 1000, 192.0.2.9, 53)";

#[test]
fn packets_go_through_both_translators_and_come_back() {
    let mut b = bench(&format!(
        "{IP4} -> pt46 :: ProtocolTranslator46(PREFIX 64:ff9b::/96)
        -> six :: CheckIP6Header -> ProtocolTranslator64 -> CheckIPHeader -> CheckUDPHeader
        -> k :: IPClassifier(src 10.0.0.1 and dst 192.0.2.9 and udp dst port 53, -);
        k[0] -> right :: Counter -> Discard; k[1] -> wrong :: Counter -> Discard;"
    ));
    b.settle();
    assert_eq!(
        (b.read("right.count"), b.read("right.byte_count"), b.read("wrong.count")),
        ("1".into(), "31".into(), "0".into())
    );
}

#[test]
fn addresses_and_ports_are_translated_and_back() {
    // The answer is the packet with its ends swapped.
    let mut b = bench(
        "InfiniteSource(DATA \"abc\", LIMIT 1) -> UDPIP6Encap(fd00::5, 1000, 2001:db8::9, 53) -> at :: AddressTranslator(0, 1, 1, 0, 2001:db8::1 6000 6001);
        at[0] -> out :: Counter -> IP6Print(out) -> IP6Mirror -> [1] at; at[1] -> IP6Print(back) -> back :: Counter -> Discard;
        Idle -> stranger :: IP6Mirror -> [1] at",
    );
    b.settle();
    assert_eq!((b.read("out.count"), b.read("back.count")), ("1".into(), "1".into()));
    let said = &b.host.printed;
    assert!(said.contains("2001:db8::1") && said.contains("fd00::5"), "{said}");
}

#[test]
fn an_address_is_given_out_once() {
    let flow =
        |n: u32| format!("InfiniteSource(LIMIT 2) -> UDPIP6Encap(fd00::{n}, {n}, 2001:db8::9, 53) -> at;");
    let mut b = bench(&format!(
        "at :: AddressTranslator(0, 1, 0, 0, 2001:db8::1, 2001:db8::2); at[0] -> out :: Counter -> Discard;
        Idle -> [1] at; at[1] -> Discard; {} {} {}",
        flow(1),
        flow(2),
        flow(3)
    ));
    b.settle();
    assert_eq!(b.read("out.count"), "4", "two hosts have an address, the third has none");
}

#[test]
fn load_has_the_addresses_and_flows_that_were_asked_for() {
    let mut b = bench(
        "FastUDPFlows(0, 100, 60, 1:1:1:1:1:1, 1.1.1.1, 2:2:2:2:2:2, 2.2.2.2, 3, 5) -> Unqueue -> Strip(14) -> CheckIPHeader -> CheckUDPHeader
        -> rw :: UDPRewriter(keep 0 0) -> udp :: Counter -> Discard;
        FastTCPFlows(0, 8, 60, 1:1:1:1:1:1, 1.1.1.1, 2:2:2:2:2:2, 2.2.2.2, 1, 4) -> Unqueue -> Strip(14) -> CheckIPHeader -> CheckTCPHeader
        -> k :: IPClassifier(syn, fin, -); k[0] -> syn :: Counter -> Discard; k[1] -> fin :: Counter -> Discard; k[2] -> ack :: Counter -> Discard;
        s :: FastUDPSource(10, -1, 60, 1:1:1:1:1:1, 1.1.1.1, 1000, 2:2:2:2:2:2, 2.2.2.2, 53) -> Unqueue -> Discard",
    );
    b.pass(2_000_000_000);
    assert_eq!(b.read("udp.count"), "100");
    assert!((20..=26).contains(&b.read("rw.size").parse::<u32>().unwrap()), "a flow has five packets");
    assert_eq!(["syn", "fin", "ack"].map(|c| b.read(&format!("{c}.count"))), ["2", "2", "4"]);
    assert!((19..=21).contains(&b.read("s.count").parse::<u32>().unwrap()), "ten a second");
}

#[test]
fn packets_that_wait_too_long_are_dropped_early() {
    let mut b = bench(
        "RatedSource(DATA \"x\", RATE 1000) -> Queue(1000) -> c :: CoDel -> RatedUnqueue(500) -> Discard",
    );
    b.pass(5_000_000_000);
    let drops: u32 = b.read("c.drops").parse().unwrap();
    assert!(drops > 5, "{drops}");
}

#[test]
fn what_is_kept_is_sent_again() {
    let mut b = bench(
        "InfiniteSource(LIMIT 3) -> Queue -> r :: ReplayUnqueue(STOP 4) -> c :: Counter -> Discard; r2 :: Idle -> Discard",
    );
    b.settle();
    assert_eq!((b.read("c.count"), b.read("r.loaded")), ("12".into(), "3".into()));
}

#[test]
fn rates_choose_the_output() {
    let mut b = bench(
        "RatedSource(DATA \"x\", RATE 500) -> m :: Meter(100, 1000); m[0] -> slow :: Counter -> Discard;
        m[1] -> middle :: Counter -> Discard; m[2] -> fast :: Counter -> Discard",
    );
    b.pass(10_000_000_000);
    let count = |b: &mut common::Bench, name: &str| b.read(&format!("{name}.count")).parse::<u32>().unwrap();
    assert!(count(&mut b, "middle") > 3000 && count(&mut b, "fast") == 0);
}

/// Skeletons as they are written for ClickOS, with frames from device 0 to device 1.
#[test]
fn skeletons_for_clickos_are_accepted_and_forward() {
    let arp = "FromDevice(0) -> c :: Classifier(12/0800, -); c[1] -> Discard;";
    for (way, sent) in [
        // A load balancer, a tagger, an intrusion detector.
        (
            "c[0] -> lb :: RoundRobinSwitch; lb[0] -> a :: Null -> ToDevice(1); lb[1] -> b :: Null -> d :: Discard;",
            1,
        ),
        ("c[0] -> VLANEncap(VLAN_ID 7, VLAN_PCP 3) -> ToDevice(1, 4);", 2),
        (
            "c[0] -> CheckIPHeader(14) -> ids :: IPFilter(0 src host 192.168.1.95, 1 all); ids[0] -> Print(alert) -> Discard; ids[1] -> SimpleQueue(1000) -> ToDevice(1);",
            2,
        ),
        ("c[0] -> t :: ToDevice(1) -> again :: Counter -> Discard;", 2),
    ] {
        let mut b = bench(&format!("{arp} {way}"));
        b.settle();
        let frame = || common::udp(0, common::client_ip(1), 53, 64);
        let out: usize = (0..2).map(|_| b.send(0, frame()).len()).sum();
        assert_eq!(out, sent, "{way}");
    }
}
