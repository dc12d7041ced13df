//! IPv6, with frames in memory.

mod common;

use click::headers::{Ipv6Header, transport_checksum6, write_ethernet};
use common::*;

const SECOND: u64 = 1_000_000_000;
const OWN: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const CLIENT: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
const FAR: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3];

fn frame(next: u8, from: [u8; 16], to: [u8; 16], hops: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 54];
    write_ethernet(&mut frame, own_mac(0), client_mac(0), 0x86dd);
    Ipv6Header { payload: payload.len(), next, hops, source: from, destination: to }.write(&mut frame[14..]);
    frame.extend(payload);
    frame
}

fn udp6(to: [u8; 16], hops: u8) -> Vec<u8> {
    frame(17, CLIENT, to, hops, &[0, 1, 0, 2, 0, 10, 0, 0, 7, 7])
}

/// A solicitation (135) or advertisement (136).
fn neighbour(kind: u8, from: [u8; 16], to: [u8; 16], target: [u8; 16], mac: [u8; 6]) -> Vec<u8> {
    let mut icmp = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    icmp.extend(target);
    icmp.extend([if kind == 135 { 1 } else { 2 }, 1]);
    icmp.extend(mac);
    let sum = transport_checksum6(from, to, 58, &icmp);
    icmp[2..4].copy_from_slice(&sum);
    frame(58, from, to, 255, &icmp)
}

#[test]
fn headers_are_checked_and_hops_counted() {
    let mut b = bench(
        "FromDevice(0) -> Strip(14) -> k :: CheckIP6Header(2001:db8::66) -> d :: DecIP6HLIM -> Unstrip(14) -> Queue -> ToDevice(1); k [1] -> c0 :: Counter -> Discard; d [1] -> c1 :: Counter -> Discard",
    );
    b.settle();
    assert_eq!(b.send(0, udp6(FAR, 64))[0][21], 63);
    let mut bad = vec![udp6(FAR, 9); 4];
    bad[0][14] = 0x45;
    bad[1][19] = 99;
    bad[2].truncate(40);
    bad[3][22] = 255;
    bad.into_iter().for_each(|f| assert!(b.send(0, f).is_empty()));
    assert!(b.send(0, udp6(FAR, 1)).is_empty());
    assert_eq!(["c0", "c1"].map(|c| b.read(&format!("{c}.count"))), ["4", "1"]);
    assert!(b.read("k.drop_details").contains("1\tbad IP version"));
}

#[test]
fn the_longest_route_wins() {
    let mut b = bench(
        "FromDevice(0) -> Strip(14) -> CheckIP6Header -> r :: LookupIP6Route(2001:db8::/32 0, 2001:db8:9::/48 2001:db8::7 1); r [0] -> c0 :: Counter -> Discard; r [1] -> c1 :: Counter -> Discard",
    );
    b.settle();
    b.send(0, udp6(FAR, 9));
    b.send(0, udp6(OWN, 9));
    assert_eq!(["c0", "c1"].map(|c| b.read(&format!("{c}.count"))), ["1", "1"]);
    assert_eq!(["r.lookup 2001:db8:9::1", "r.lookup ::1"].map(|h| b.read(h)), ["1 2001:db8::7", "-1"]);
    b.write("r.remove", "2001:db8:9::/48");
    b.write("r.add", "::/0 1");
    assert_eq!(["r.lookup 2001:db8:9::1", "r.lookup ::1"].map(|h| b.read(h)), ["0", "1"]);
}

#[test]
fn errors_go_to_those_who_may_have_them() {
    let mut b = bench(
        "FromDevice(0) -> Strip(14) -> MarkIP6Header -> IP6Print(x) -> ICMP6Error(2001:db8::1, timeexceeded, transit) -> Unstrip(14) -> Queue -> ToDevice(1)",
    );
    b.settle();
    let error = b.send(0, udp6(FAR, 1)).remove(0);
    assert_eq!((error[54], error[55], &error[38..54]), (3, 0, &CLIENT[..]));
    assert_eq!(transport_checksum6(OWN, CLIENT, 58, &error[54..]), [0, 0]);
    assert_eq!(b.host.printed, "x: 2001:db8::2.1 > 2001:db8:9::3.2: udp length 10 hlim 1\n");
    assert!(b.send(0, frame(58, CLIENT, FAR, 1, &[1, 0, 0, 0, 0, 0, 0, 0])).is_empty());
    assert!(b.send(0, udp6([255; 16], 1)).is_empty());
}

#[test]
fn neighbours_are_told_and_asked() {
    let text = "FromDevice(0) -> a :: IP6NDAdvertiser(2001:db8::1 2:0:0:0:0:0) -> out :: Queue -> ToDevice(0); a [1] -> [1] s :: IP6NDSolicitor(2001:db8::1, 2:0:0:0:0:0) -> out;
        FromDevice(1) -> Strip(14) -> CheckIP6Header -> SetIP6Address(2001:db8::2) -> [0] s";
    let mut b = bench(text);
    b.settle();
    let group = [255, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 255, 0, 0, 1];
    let answer = b.send(0, neighbour(135, CLIENT, group, OWN, client_mac(0))).remove(0);
    assert_eq!(
        (&answer[..6], answer[54], &answer[62..78], &answer[80..86]),
        (&client_mac(0)[..], 136, &OWN[..], &own_mac(0)[..])
    );
    assert_eq!(transport_checksum6(OWN, CLIENT, 58, &answer[54..]), [0, 0]);
    assert!(b.send(0, neighbour(135, CLIENT, group, FAR, client_mac(0))).is_empty());

    let asked = b.send(1, udp6(FAR, 9)).remove(0);
    assert_eq!((&asked[..6], asked[54], &asked[62..78]), (&[0x33, 0x33, 255, 0, 0, 2][..], 135, &CLIENT[..]));
    let sent = b.send(0, neighbour(136, CLIENT, OWN, CLIENT, client_mac(0)));
    assert_eq!((&sent[0][..6], &sent[0][14..]), (&client_mac(0)[..], &udp6(FAR, 9)[14..]));
    assert_eq!(b.send(1, udp6(FAR, 9)).len(), 1);
    assert!(b.read("s.table").starts_with("2001:db8::2 1 02-01-00-00-00-00"));
    b.write("s.clear", "");
    b.send(1, udp6(FAR, 9));
    b.pass(302 * SECOND);
    assert_eq!((b.read("s.length"), b.read("s.drops")), ("0".into(), "1".into()));
}
