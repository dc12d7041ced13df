//! Any bytes as packets, through every element that reads headers. The router lives on: flows, fragments and addresses
//! of earlier packets meet later ones.
#![no_main]

#[path = "click/fuzz_host.rs"]
mod fuzz_host;

use click::Router;
use fuzz_host::FuzzHost;
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;

/// Paths for Ethernet frames, for what may not even be an IP header, and for IP packets that were checked.
const FRAMES: &[&str] = &[
    "a :: ARPResponder(10.0.0.0/8 2:0:0:0:0:1) -> d; a [1] -> ARPPrint(ETHER true) -> d",
    "[1] q :: ARPQuerier(eth0) -> d",
    "h :: HostEtherFilter(eth0) -> DropBroadcasts -> EtherRewrite(eth0, eth0) -> EtherMirror -> d; h [1] -> d",
    "[0] s :: EtherSwitch; Idle -> [1] s; s [0] -> d; s [1] -> d",
    "VLANDecap -> VLANEncap(ANNO, NATIVE_VLAN 5) -> d",
    "v :: StripEtherVLANHeader -> EtherVLANEncap(0x0800, eth0, eth0, ANNO) -> d; v [1] -> d",
    "n :: IP6NDAdvertiser(fe80::/10 eth0) -> d; n [1] -> d",
    "[1] ns :: IP6NDSolicitor(fe80::1, eth0) -> d",
    "k :: Classifier(12/0800 23/11, 12/0806 !20/0002, 12/86dd%ffff, -) -> d; k [1] -> d; k [2] -> d; k [3] -> d",
    "CheckCRC32 -> SetCRC32 -> d",
    "MarkMACHeader -> Strip(14) -> MarkIPHeader -> Strip(20) -> IPFilter(allow src 2:0:0:0:0:2 and port != 5, allow ip[2:2] & 0xf0 > 16 or www, drop src & 1.2.3.4 = 0.0.0.4) -> d",
    "by :: Bypass(true) -> d; by [1] -> VLANDecap(ETHERTYPE 0x88a8) -> VLANEncap -> [1] by",
    "HashSwitch(26, 8) -> Align(4, 2) -> Truncate(40) -> Pad(60) -> Resize(-3, 2) -> StoreData(30, abc) -> d",
    "[0] cb :: Clipboard(6/6, 0/2) -> [1] cb; cb [1] -> Print(CONTENTS ASCII) -> d",
    "i :: IPInputCombo(1, INTERFACES 10.0.0.1/24) -> o :: IPOutputCombo(1, 10.0.0.1, 100) -> d; i [1] -> d; o [1] -> d; o [2] -> d; o [3] -> d; o [4] -> d",
    "CheckIP6Header(OFFSET 14) -> StripToNetworkHeader -> EnsureEther(0x86dd) -> d",
];
const UNCHECKED: &[&str] = &[
    "IPFilter(allow tcp opt syn && port 80 or 443, drop ip frag, allow ip ttl > 5 and transp[2:2] & 0xff == 3, allow icmp type echo) -> d",
    "DecIPTTL -> IPMirror -> SetIPChecksum -> d",
    "SetTCPChecksum -> d",
    "SetUDPChecksum -> d",
    "StripIPHeader -> UnstripIPHeader -> d",
    "IPPrint(PAYLOAD HEX, ID true, LENGTH true) -> d",
    "ct :: CheckTCPHeader -> d; ct [1] -> cu :: CheckUDPHeader -> d; cu [1] -> ci :: CheckICMPHeader -> d; ci [1] -> d",
    "IPFragmenter(60) -> IPFragmenter(44, HONOR_DF false) -> MarkIPHeader -> re :: IPReassembler(MAX_MEM 50000) -> d; re [1] -> d",
    "re2 :: IPReassembler(MAX_MEM 20000) -> d; re2 [1] -> d",
    "g :: IPGWOptions(10.0.0.1, 10.0.0.2) -> d; g [1] -> ICMPError(10.0.0.1, parameterproblem) -> FixIPSrc(10.0.0.9) -> d",
    "pr :: ICMPPingResponder -> d; pr [1] -> ICMPError(10.0.0.1, unreachable, needfrag) -> d",
    "[0] ps :: ICMPPingSource(10.0.0.1, 10.0.0.2) -> d",
    "SetIPDSCP(5) -> SetIPECN(1) -> MarkIPCE -> StoreIPAddress(1.2.3.4, src) -> GetIPAddress(dst) -> StoreIPAddress(dst) -> d",
    "[0] m :: IPRateMonitor(BYTES, 0.5, 10, MEMORY 100) -> b :: Block(50) -> d; b [1] -> [1] m; m [1] -> d",
    "CheckIPHeader(BADSRC 1.2.3.4) -> d",
    "[0] nat; nat [0] -> MarkIPHeader -> [1] nat; nat [1] -> d",
    "FTPPortMapper(ftp, nat, 1.0.0.1 100-200 - - 0 1) -> [0] ftp :: TCPRewriter(pattern 1.0.0.1 - - - 0 1, keep 0 1); ftp [0] -> IPMirror -> [1] ftp; ftp [1] -> d",
    "[0] pg :: ICMPPingRewriter(pattern 1.0.0.1 5-9? - - 0 1) -> d; pg [1] -> d",
    "[0] ar :: IPAddrRewriter(pattern 3.0.0.0/28 - 0 1, MAPPING_CAPACITY 9) -> d; ar [1] -> d",
    "[0] ap :: IPAddrPairRewriter(pattern 3.0.0.0-3.0.0.9# 4.4.4.4 0 1, MAPPING_CAPACITY 9) -> d; ap [1] -> d",
    "[0] ur :: UDPRewriter(rr, MAPPING_CAPACITY 9, GUARANTEE 0) -> d; ur [1] -> d",
    "ic :: ICMPRewriter(nat ftp pg ar ap ur) -> d; ic [1] -> d",
    "rt :: RadixIPLookup(10/8 0, 10.1/16 1.1.1.1 1); rt [0] -> [0] q; rt [1] -> d",
];
const SIX: &[&str] = &[
    "hl :: DecIP6HLIM -> d; hl [1] -> ICMP6Error(fe80::1, timeexceeded) -> d",
    "IP6Print(CONTENTS true) -> l :: LookupIP6Route(fe80::/10 fe80::9 0, ::/0 1); l [0] -> [0] ns; l [1] -> SetIP6Address(::1) -> d",
    "c6 :: CheckIP6Header -> d; c6 [1] -> d",
];

fn configuration() -> String {
    let fan = |name: &str, paths: &[&str]| -> String {
        let path = |(i, p): (usize, &&str)| format!("{name} [{i}] -> {p};\n");
        paths.iter().enumerate().map(path).collect()
    };
    format!(
        "d :: Discard; rr :: RoundRobinIPMapper(- - 5.5.5.5 - 0 1, - - 6.6.6.6 7 0 1);
        nat :: IPRewriter(pattern 1.0.0.1 1000-1009 - - 0 1, drop, MAPPING_CAPACITY 20);
        FromDevice(0) -> all :: Tee; all [0] -> frames :: Tee; all [1] -> MarkIPHeader -> any :: Tee;
        all [2] -> CheckIPHeader(CHECKSUM false) -> ip :: Null -> any2 :: Tee; all [3] -> Strip(14) -> MarkIPHeader -> back :: Tee;
        all [4] -> MarkIP6Header -> six :: Tee; any2 -> d; back -> Unstrip(14) -> d;\n{}{}{}",
        fan("frames", FRAMES),
        fan("any", UNCHECKED),
        fan("six", SIX),
    )
}

thread_local! {
    static ROUTER: RefCell<(FuzzHost, Router)> = RefCell::new(FuzzHost::with(&configuration()));
}

/// A packet from fuzzed bytes: as they are, or behind headers that let it get further. The first byte says which.
fn packet(bytes: &[u8]) -> Vec<u8> {
    let Some((&choice, rest)) = bytes.split_first() else { return Vec::new() };
    let protocol = [1, 6, 17, 58][usize::from(choice >> 3 & 3)];
    let (source, destination) = ([10, 0, 0, 2 + (choice >> 6)], [10, 1, choice >> 5 & 1, 1]);
    let ip = |protocol: u8, rest: &[u8]| {
        let mut packet = vec![0; 20];
        let total = (20 + rest.len()).min(65535) as u16;
        click::headers::write_ipv4(&mut packet, total, choice.into(), protocol, source, destination);
        [&packet[..], rest].concat()
    };
    let ethernet = |kind: u16, rest: Vec<u8>| {
        let mut header = [0; 14];
        click::headers::write_ethernet(&mut header, [2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], kind);
        [&header[..], &rest].concat()
    };
    match choice & 7 {
        0 => rest.to_vec(),
        1 | 2 => ip(protocol, rest),
        3 => ethernet(0x0800, ip(protocol, rest)),
        4 => {
            let mut packet = vec![0; 40];
            let address =
                |end| core::array::from_fn(|i| [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, end][i]);
            let (source, destination) = (address(choice >> 5), address(1));
            let payload = rest.len().min(65535);
            click::headers::Ipv6Header { payload, next: protocol, hops: 255, source, destination }
                .write(&mut packet);
            let packet = [&packet[..], rest].concat();
            if choice & 32 == 0 { packet } else { ethernet(0x86dd, packet) }
        }
        5 => ethernet(0x0806, [&[0, 1, 8, 0, 6, 4, 0], rest].concat()),
        // A fragment: its place is in the first two bytes.
        6 => {
            let mut packet = ip(protocol, rest.get(2..).unwrap_or(&[]));
            if let [a, b, ..] = *rest {
                (packet[6], packet[7]) = (a, b);
            }
            packet
        }
        // An error about a packet, as a rewriter may have let it out.
        _ => ip(1, &[&[choice >> 4, 0, 0, 0, 0, 0, 0, 0], &ip(protocol, rest)[..]].concat()),
    }
}

fuzz_target!(|packets: Vec<Vec<u8>>| {
    ROUTER.with_borrow_mut(|(fuzz_host, router)| {
        for packet in packets.into_iter().take(16) {
            fuzz_host.clock += 1 << (packet.len() % 36);
            fuzz_host.bring(router, self::packet(&packet));
        }
    });
});
