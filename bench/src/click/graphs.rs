//! What is measured, in words that the C++ router understands as well.

use std::fmt::Write as _;

/// Flows of the traces and of address translation.
pub const FLOWS: u32 = 20_000;

/// A frame of 60 bytes with a UDP packet, as Click writes data.
fn frame(to: [u8; 6], source: [u8; 4], destination: [u8; 4]) -> String {
    let bytes = packet(to, source, destination, 5000);
    bytes.iter().fold(String::from("\\<"), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }) + ">"
}

/// The bytes of such a frame, from a port.
pub fn packet(to: [u8; 6], source: [u8; 4], destination: [u8; 4], port: u16) -> [u8; 60] {
    let mut frame = [0u8; 60];
    frame[..6].copy_from_slice(&to);
    frame[6..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 8, 0]);
    frame[14..26].copy_from_slice(&[0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0]);
    frame[26..30].copy_from_slice(&source);
    frame[30..34].copy_from_slice(&destination);
    let words = frame[14..34].chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1]));
    let sum = words.sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    frame[24..26].copy_from_slice(&(!(sum + (sum >> 16)) as u16).to_be_bytes());
    frame[34..36].copy_from_slice(&port.to_be_bytes());
    frame[36..42].copy_from_slice(&[0, 53, 0, 26, 0, 0]);
    frame
}

/// As many packets as can be made, through a path to a counter `c`.
pub fn flood(path: &str) -> String {
    let data = frame([2, 0, 0, 0, 0, 1], [10, 0, 0, 1], [192, 168, 7, 9]);
    format!("InfiniteSource(DATA {data}, BURST 32) -> {path} -> c :: Counter -> Discard;")
}

/// The path of eight elements: check, look up, lower the TTL, encapsulate.
pub const FORWARDING: &str = "Strip(14) -> CheckIPHeader
    -> r :: StaticIPLookup(10.0.0.0/8 0, 192.168.0.0/16 0, 0.0.0.0/0 0) -> DecIPTTL
    -> EtherEncap(0x0800, 02:00:00:00:00:03, 02:00:00:00:00:04)";

/// A filter whose last rule of a hundred wants all.
pub fn filter() -> String {
    let rules: Vec<String> =
        (1..100).map(|n| format!("deny src host 172.16.0.{n} and udp dst port {n}")).collect();
    format!("Strip(14) -> MarkIPHeader -> IPFilter({}, allow all)", rules.join(", "))
}

/// Address translation of so many flows.
pub fn translation(flows: u32) -> String {
    format!(
        "Strip(14) -> MarkIPHeader -> SetRandIPAddress(10.0.0.0/8, {flows}) -> StoreIPAddress(12)
            -> IPRewriter(pattern 198.51.100.1 1024-65535# - - 0 0)"
    )
}

/// A router of two networks as one would be written for two real interfaces, flooded from both; each asks the other's
/// host for its address.
pub fn router() -> String {
    let mut text = String::from(
        "rt :: StaticIPLookup(10.0.0.1/32 0, 10.0.0.255/32 0, 10.0.0.0/32 0, 10.0.1.1/32 0, 10.0.1.255/32 0,
            10.0.1.0/32 0, 10.0.0.0/24 1, 10.0.1.0/24 2, 255.255.255.255/32 0, 0.0.0.0/32 0);
        ip :: Strip(14) -> CheckIPHeader(INTERFACES 10.0.0.1/24 10.0.1.1/24) -> [0]rt;
        rt[0] -> EtherEncap(0x0800, 1:1:1:1:1:1, 2:2:2:2:2:2) -> Discard;
        c :: Counter -> Discard;\n",
    );
    for (own, other) in [(0u8, 1u8), (1, 0)] {
        let data = frame([2, 0, 0, 0, 0, own], [10, 0, own, 2], [10, 0, other, 2]);
        let paint = own + 1;
        let _ = write!(
            text,
            "in{own} :: InfiniteSource(DATA {data}, BURST 32)
                -> c{own} :: Classifier(12/0806 20/0001, 12/0806 20/0002, 12/0800, -);
            out{own} :: Queue(1024) -> Unqueue(BURST 32) -> c;
            c{own}[0] -> ARPResponder(10.0.{own}.1 02:00:00:00:00:0{own}) -> out{own};
            arp{own} :: ARPQuerier(10.0.{own}.1, 02:00:00:00:00:0{own}) -> out{own};
            arp{own}[1] -> ARPResponder(10.0.{own}.0/24 02:00:00:00:01:0{own}) -> [1]arp{own};
            c{own}[1] -> [1]arp{own};
            c{own}[2] -> Paint({paint}) -> ip;
            c{own}[3] -> Discard;
            rt[{paint}] -> DropBroadcasts -> cp{own} :: PaintTee({paint}) -> gio{own} :: IPGWOptions(10.0.{own}.1)
                -> FixIPSrc(10.0.{own}.1) -> dt{own} :: DecIPTTL -> fr{own} :: IPFragmenter(1500) -> [0]arp{own};
            dt{own}[1] -> ICMPError(10.0.{own}.1, timeexceeded) -> [0]rt;
            fr{own}[1] -> ICMPError(10.0.{own}.1, unreachable, needfrag) -> [0]rt;
            gio{own}[1] -> ICMPError(10.0.{own}.1, parameterproblem) -> [0]rt;
            cp{own}[1] -> ICMPError(10.0.{own}.1, redirect, host) -> [0]rt;\n"
        );
    }
    text
}

/// A chain of so many elements.
pub fn chain(elements: usize) -> String {
    let mut text = String::from("Idle -> n0 :: Null;\n");
    for n in 1..elements {
        let _ = writeln!(text, "n{} -> n{n} :: Null;", n - 1);
    }
    let _ = writeln!(text, "n{} -> Discard;", elements - 1);
    text
}
