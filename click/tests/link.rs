//! Ethernet, VLAN tags and ARP, with frames in memory.

mod common;

use common::*;

const SECOND: u64 = 1_000_000_000;

/// Frames that come out of device 1 after one went into device 0, through `path`.
fn through(path: &str, frame: &[u8]) -> Vec<Vec<u8>> {
    let mut b = bench(&format!("FromDevice(0) -> {path} -> Queue -> ToDevice(1)"));
    b.settle();
    b.send(0, frame.to_vec())
}

fn tagged(id: u16) -> Vec<u8> {
    let frame = udp(0, client_ip(1), 9, 64);
    [&frame[..12], &[0x81, 0], &id.to_be_bytes(), &frame[12..]].concat()
}

#[test]
fn headers_are_rewritten_stripped_and_put_back() {
    let frame = udp(0, client_ip(1), 9, 64);
    let out = through("EtherRewrite(1:1:1:1:1:1, 2:2:2:2:2:2)", &frame);
    assert_eq!((&out[0][..12], &out[0][12..]), (&[[2u8; 6], [1; 6]].concat()[..], &frame[12..]));
    assert_eq!(through("MarkIPHeader(14) -> StripToNetworkHeader", &frame)[0], frame[14..]);
    assert_eq!(through("Strip(14) -> MarkIPHeader -> EnsureEther", &frame)[0], frame);
    assert_eq!(through("MarkIPHeader(14) -> EnsureEther", &frame)[0], frame);
    let out = through("Strip(14) -> IPEncap(4, 1.2.3.4, 5.6.7.8) -> EnsureEther(DST 9:9:9:9:9:9)", &frame);
    assert_eq!((&out[0][..14], out[0][23]), (&[9, 9, 9, 9, 9, 9, 1, 1, 1, 1, 1, 1, 8, 0][..], 4));
    assert_eq!(through("EtherRewrite(1:1:1:1:1:1, 2:2:2:2:2:2)", b"short"), [b"short".to_vec()]);
}

#[test]
fn vlan_tags_go_in_and_out() {
    let frame = udp(0, client_ip(1), 9, 64);
    assert_eq!(through("VLANEncap(VLAN_ID 7, VLAN_PCP 5)", &frame), [tagged(7 | 5 << 13)]);
    assert_eq!(through("VLANEncap(VLAN_ID 7) -> VLANDecap", &frame)[0], frame);
    assert_eq!(through("VLANDecap -> VLANEncap(ANNO)", &tagged(9)), [tagged(9)]);
    assert_eq!(through("SetVLANAnno(VLAN_ID 4) -> VLANEncap(ANNO, NATIVE_VLAN 4)", &frame)[0], frame);
    assert_eq!(
        through(
            "StripEtherVLANHeader -> EtherVLANEncap(0x0800, eth0, 2:1:0:0:0:0, VLAN_TCI ANNO)",
            &tagged(3)
        )[0][12..],
        tagged(3)[12..]
    );
    assert_eq!(through("StripEtherVLANHeader(NATIVE_VLAN none)", &frame), Vec::<Vec<u8>>::new());
    assert_eq!(through("StripEtherVLANHeader", &frame)[0], frame[14..]);
    assert_eq!(through("SetVLANAnno(4, 5) -> VLANEncap", &frame), [tagged(4 | 5 << 13)]);
    assert_eq!(
        through("SetVLANAnno(VLAN_ID 4, VLAN_PCP 5) -> VLANEncap(ANNO)", &frame),
        [tagged(4 | 5 << 13)]
    );
    assert_eq!(through("VLANEncap(6, 1)", &frame), [tagged(6 | 1 << 13)]);
    assert_eq!(through("VLANEncap(0)", &frame)[0], frame, "the native VLAN");
    assert_eq!(through("VLANEncap(0, NATIVE_VLAN none)", &frame), [tagged(0)]);
    let outer = through("VLANEncap(7, ETHERTYPE 0x88a8)", &frame).remove(0);
    assert_eq!((outer[12..14].to_vec(), &through("VLANDecap", &outer)[0]), (vec![0x88, 0xa8], &outer));
    assert_eq!(through("VLANDecap(ETHERTYPE 0x88a8)", &outer)[0], frame);
    for (wrong, message) in [
        ("VLANEncap(1, VLAN_ID 2)", "either VLAN_TCI or VLAN_ID"),
        ("VLANEncap(VLAN_ID 4096)", "expected a VLAN identifier"),
        ("VLANEncap(1, 8)", "from 0 to 7"),
        ("SetVLANAnno(VLAN_ID x)", "expected a VLAN identifier"),
    ] {
        let e = errors(&format!("Idle -> {wrong} -> Discard"));
        assert!(e.contains(message), "{wrong}: {e}");
    }
    let mut b = bench("Idle -> e :: EtherEncap(0x0800, 1:1:1:1:1:1, 2:2:2:2:2:2) -> Discard");
    assert_eq!(b.read("e.ethertype"), "2048");
}

#[test]
fn frames_for_others_and_for_all_are_told_apart() {
    let counts = |text: &str, frame: Vec<u8>| {
        let mut b = bench(&format!("FromDevice(0) -> {text} -> c :: Counter -> Discard"));
        b.settle();
        b.send(0, frame);
        b.read("c.count") == "1"
    };
    let to = |mac: [u8; 6]| [&mac[..], &udp(0, client_ip(1), 9, 64)[6..]].concat();
    assert!(counts("HostEtherFilter(eth0)", to(own_mac(0))) && counts("HostEtherFilter(eth0)", to([255; 6])));
    assert!(
        !counts("HostEtherFilter(eth0)", to([4; 6]))
            && counts("HostEtherFilter(eth0, DROP_OTHER false)", to([4; 6]))
    );
    assert!(!counts("HostEtherFilter(2:1:0:0:0:0, DROP_OWN true)", to([255; 6])));
    assert!(
        counts("DropBroadcasts", to(own_mac(0)))
            && !counts("DropBroadcasts", to([255; 6]))
            && !counts("DropBroadcasts", to([1, 0, 0x5e, 0, 0, 1]))
    );
}

#[test]
fn a_switch_learns_where_addresses_are() {
    let mut b = bench(
        "FromDevice(0) -> [0] s :: EtherSwitch(TIMEOUT 10); FromDevice(1) -> [1] s; s [0] -> Queue -> ToDevice(0); s [1] -> Queue -> ToDevice(1); Idle -> [2] s; s [2] -> c :: Counter -> Discard",
    );
    b.settle();
    let frame = |to: [u8; 6], from: [u8; 6]| [&to[..], &from, &[8, 0, 1, 2, 3]].concat();
    let (here, there) = (client_mac(0), client_mac(1));
    assert_eq!(b.send(0, frame(there, here)).len(), 1);
    assert_eq!(b.read("c.count"), "1", "an unknown address is everywhere");
    assert_eq!(b.send(1, frame(here, there)).len(), 1);
    assert_eq!(b.send(0, frame(there, here)).len(), 1);
    assert_eq!((b.read("c.count"), b.send(0, frame(here, there)).len()), ("1".into(), 0));
    b.pass(11 * SECOND);
    b.send(0, frame(there, here));
    assert_eq!(b.read("c.count"), "2", "it was forgotten");
    assert!(b.read("s.table").contains("02-01-00-00-00-00 0\n"));
}

#[test]
fn queriers_share_a_table() {
    let mut b = bench("t :: ARPTable; FromDevice(1) -> k :: Classifier(12/0800, 12/0806); k [0] -> Strip(14) -> CheckIPHeader -> p :: RoundRobinSwitch; p [0] -> q :: ARPQuerier(eth0, TABLE t) -> Queue -> ToDevice(0); p [1] -> r :: ARPQuerier(eth1, TABLE t) -> Queue -> ToDevice(1);
        FromDevice(0) -> [1] q; k [1] -> [1] r");
    b.settle();
    let frame = udp(1, client_ip(0), 9, 64);
    assert_eq!(b.send(1, frame.clone())[0][20..22], [0, 1]);
    assert_eq!(b.send(0, arp(0, 2, own_ip(0))).len(), 1);
    let out = b.send(1, frame);
    assert_eq!((&out[0][..6], &out[0][6..12]), (&client_mac(0)[..], &own_mac(1)[..]));
    assert_eq!((b.read("t.count"), b.read("r.count")), ("1".into(), "1".into()));
    b.write("t.insert", "9.9.9.9 1:2:3:4:5:6");
    assert!(b.read("q.table").contains("9.9.9.9 1 01-02-03-04-05-06"));
}

#[test]
fn arp_is_printed_and_faked() {
    let mut b = bench(
        "FromDevice(0) -> ARPPrint(x, TIMESTAMP false, ETHER true) -> Discard; ARPFaker(10.77.0.2, 2:1:0:0:0:0, 10.77.0.9, 2:0:0:0:0:9) -> Queue -> ToDevice(0)",
    );
    b.pass(25 * SECOND);
    let faked = b.sent();
    assert_eq!((faked.len(), faked[0][21], &faked[0][22..32]), (3, 2, &[2, 0, 0, 0, 0, 9, 10, 77, 0, 9][..]));
    b.send(0, arp(0, 1, own_ip(0)));
    b.send(0, faked[0].clone());
    b.send(0, vec![1; 60]);
    let printed: Vec<_> = b.host.printed.lines().collect();
    assert_eq!(printed[0], "x: 02-01-00-00-00-00 > FF-FF-FF-FF-FF-FF: arp who-has 10.77.0.1 tell 10.77.0.2");
    assert!(
        printed[1].ends_with("arp reply 10.77.0.9 is-at 02-00-00-00-00-09") && printed[2].contains("not ARP")
    );
}
