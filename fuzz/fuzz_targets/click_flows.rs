//! Rewriters against a table of flows that is kept here, and fragments against the packets that were cut.
#![no_main]

#[path = "click/fuzz_host.rs"]
mod fuzz_host;

use arbitrary::Arbitrary;
use click::Router;
use click::headers::{checksum, write_ipv4};
use fuzz_host::FuzzHost;
use libfuzzer_sys::{arbitrary, fuzz_target};
use std::collections::BTreeMap;

/// Addresses and ports of a packet, and its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ends {
    source: ([u8; 4], u16),
    destination: ([u8; 4], u16),
    protocol: u8,
}

impl Ends {
    fn answer(self) -> Self {
        Self { source: self.destination, destination: self.source, ..self }
    }

    /// A packet of UDP or TCP with right checksums.
    fn packet(self, payload: &[u8]) -> Vec<u8> {
        let header = if self.protocol == 6 { 20 } else { 8 };
        let mut transport = vec![0; header];
        transport[..2].copy_from_slice(&self.source.1.to_be_bytes());
        transport[2..4].copy_from_slice(&self.destination.1.to_be_bytes());
        if self.protocol == 6 {
            (transport[12], transport[13]) = (0x50, 0x10);
        } else {
            transport[4..6].copy_from_slice(&((8 + payload.len()) as u16).to_be_bytes());
        }
        transport.extend(payload);
        let at = if self.protocol == 6 { 16 } else { 6 };
        let sum = self.checksum(&transport);
        // No checksum is not what is meant.
        let sum = if sum == [0, 0] && self.protocol == 17 { [255, 255] } else { sum };
        transport[at..at + 2].copy_from_slice(&sum);
        let mut packet = vec![0; 20];
        let total = (20 + transport.len()) as u16;
        write_ipv4(&mut packet, total, 1, self.protocol, self.source.0, self.destination.0);
        packet.extend(transport);
        packet
    }

    /// That of a transport header and what follows, with the pseudo header in front: zeros if the one in it is right.
    fn checksum(self, transport: &[u8]) -> [u8; 2] {
        let length = (transport.len() as u16).to_be_bytes();
        let pseudo = [&self.source.0[..], &self.destination.0, &[0, self.protocol], &length].concat();
        checksum(&[&pseudo[..], transport].concat())
    }

    fn of(packet: &[u8]) -> Self {
        let address = |at: usize| [packet[at], packet[at + 1], packet[at + 2], packet[at + 3]];
        let port = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
        Self { source: (address(12), port(20)), destination: (address(16), port(22)), protocol: packet[9] }
    }
}

/// What happens next.
#[derive(Arbitrary, Debug)]
enum Step {
    /// A packet from inside.
    Out { host: u8, port: u8, peer: u8, tcp: bool, payload: Vec<u8> },
    /// An answer to one of the flows.
    Answer { flow: u8, payload: Vec<u8> },
    /// A packet from outside that nobody asked for.
    Stranger { port: u16, peer: u8, tcp: bool },
    /// A packet that is cut into pieces, which arrive out of order and some of them again.
    Fragments { id: u8, length: u16, cuts: Vec<u8>, order: Vec<u8> },
}

const PUBLIC: [u8; 4] = [1, 0, 0, 1];
const PORTS: std::ops::Range<u16> = 1000..1016;
const CAPACITY: usize = 20;

fn router() -> (FuzzHost, Router) {
    FuzzHost::with(&format!(
        "in :: FromDevice(0) -> MarkIPHeader -> way :: IPClassifier(dst net 10.9.0.0/16, dst host 1.0.0.1, -);
        nat :: IPRewriter(pattern 1.0.0.1 {}-{} - - 0 1, drop, MAPPING_CAPACITY {CAPACITY}, UDP_TIMEOUT 1000000,
            TCP_NODATA_TIMEOUT 1000000, TCP_TIMEOUT 1000000, GUARANTEE 1000000);
        way [2] -> [0] nat; way [1] -> [1] nat; way [0] -> re :: IPReassembler(MAX_MEM 5000000) -> q;
        nat [0] -> q :: Queue -> ToDevice(0); nat [1] -> p :: Queue -> ToDevice(1);",
        PORTS.start,
        PORTS.end - 1
    ))
}

/// Whether all checksums of a packet are right.
fn is_right(packet: &[u8]) -> bool {
    checksum(&packet[..20]) == [0, 0] && Ends::of(packet).checksum(&packet[20..]) == [0, 0]
}

fuzz_target!(|steps: Vec<Step>| {
    let (mut fuzz_host, mut router) = router();
    // What flows from inside look like outside.
    let mut flows: BTreeMap<Ends, Ends> = BTreeMap::new();
    let mut ids: Vec<u8> = Vec::new();
    for step in steps.into_iter().take(64) {
        match step {
            Step::Out { host, port, peer, tcp, payload } => {
                let ends = Ends {
                    source: ([10, 0, 0, host % 4], 5000 + u16::from(port % 8)),
                    destination: ([192, 0, 2, peer % 3], 80),
                    protocol: if tcp { 6 } else { 17 },
                };
                let payload = &payload[..payload.len().min(100)];
                fuzz_host.bring(&mut router, ends.packet(payload));
                let Some((0, sent)) = fuzz_host.sent.pop() else {
                    assert!(!flows.contains_key(&ends), "a packet of {ends:?} is lost");
                    // Either no more flows are kept, or each port is taken towards that peer.
                    let same = |e: &&Ends| (e.destination, e.protocol) == (ends.destination, ends.protocol);
                    let taken = flows.keys().filter(same).count();
                    assert!(
                        flows.len() == CAPACITY || taken == PORTS.len(),
                        "{ends:?} is refused: {flows:?}"
                    );
                    continue;
                };
                let outside = Ends::of(&sent);
                assert!(is_right(&sent), "checksums of {sent:02x?}");
                assert_eq!((outside.destination, outside.protocol), (ends.destination, ends.protocol));
                assert!(outside.source.0 == PUBLIC && PORTS.contains(&outside.source.1), "{outside:?}");
                assert_eq!(sent[if tcp { 40 } else { 28 }..], *payload);
                match flows.get(&ends) {
                    Some(known) => assert_eq!(*known, outside, "{ends:?} has moved"),
                    None => {
                        assert!(!flows.values().any(|known| *known == outside), "{outside:?} is two flows");
                        assert!(flows.len() < CAPACITY);
                        flows.insert(ends, outside);
                    }
                }
            }
            Step::Answer { flow, payload } => {
                let Some((inside, outside)) = flows.iter().nth(usize::from(flow) % flows.len().max(1)) else {
                    continue;
                };
                let payload = &payload[..payload.len().min(100)];
                fuzz_host.bring(&mut router, outside.answer().packet(payload));
                let Some((1, sent)) = fuzz_host.sent.pop() else { panic!("an answer to {inside:?} is lost") };
                assert_eq!(Ends::of(&sent), inside.answer());
                assert!(is_right(&sent), "checksums of {sent:02x?}");
            }
            Step::Stranger { port, peer, tcp } => {
                let ends = Ends {
                    source: ([192, 0, 2, peer % 4], 80),
                    destination: (PUBLIC, PORTS.start + port % 32),
                    protocol: if tcp { 6 } else { 17 },
                };
                let wanted = flows.iter().find(|(_, outside)| outside.answer() == ends).map(|f| *f.0);
                fuzz_host.bring(&mut router, ends.packet(b"x"));
                let sent = fuzz_host.sent.pop().map(|(device, packet)| (device, Ends::of(&packet)));
                assert_eq!(sent, wanted.map(|inside| (1, inside.answer())));
            }
            Step::Fragments { id, length, cuts, order } => {
                if ids.contains(&id) {
                    continue;
                }
                ids.push(id);
                fragments(&mut fuzz_host, &mut router, id, usize::from(length % 4000) + 1, &cuts, &order);
            }
        }
    }
});

/// Cuts a packet, sends the pieces, and sees that it comes out once, as it was, when all are there.
fn fragments(
    fuzz_host: &mut FuzzHost,
    router: &mut Router,
    id: u8,
    length: usize,
    cuts: &[u8],
    order: &[u8],
) {
    let payload: Vec<u8> = (0..length).map(|i| (i * 7 + usize::from(id)) as u8).collect();
    let mut pieces = Vec::new();
    let mut at = 0;
    for cut in cuts.iter().take(30) {
        let size = (usize::from(*cut) + 1) * 8;
        if at + size >= length {
            break;
        }
        pieces.push((at, at + size));
        at += size;
    }
    pieces.push((at, length));
    let piece = |&(from, to): &(usize, usize)| {
        let mut packet = vec![0; 20];
        write_ipv4(&mut packet, (20 + to - from) as u16, id.into(), 99, [10, 8, 0, 1], [10, 9, 0, 1]);
        let more = if to < length { 0x2000 } else { 0 };
        packet[6..8].copy_from_slice(&((from / 8) as u16 | more).to_be_bytes());
        packet[10..12].copy_from_slice(&[0, 0]);
        let sum = checksum(&packet[..20]);
        packet[10..12].copy_from_slice(&sum);
        packet.extend(&payload[from..to]);
        packet
    };
    let mut missing: Vec<usize> = (0..pieces.len()).collect();
    let mut arrived: Vec<usize> = Vec::new();
    for choice in order.iter().chain(std::iter::repeat(&0)).take(3 * pieces.len() + order.len().min(64)) {
        // One in four comes again.
        let again = choice & 3 == 3 && !arrived.is_empty();
        let which = if again {
            arrived[usize::from(choice >> 2) % arrived.len()]
        } else {
            let which = missing.remove(usize::from(choice >> 2) % missing.len());
            arrived.push(which);
            which
        };
        fuzz_host.bring(router, piece(&pieces[which]));
        if missing.is_empty() {
            break;
        }
        assert!(fuzz_host.sent.is_empty(), "a packet came out that lacks {missing:?}");
    }
    if !missing.is_empty() {
        return;
    }
    assert_eq!(fuzz_host.sent.len(), 1, "a packet of {length} bytes in {} pieces", pieces.len());
    let sent = &fuzz_host.sent[0].1;
    assert!(
        sent[20..] == payload && checksum(&sent[..20]) == [0, 0],
        "a packet of {length} bytes has changed"
    );
    assert_eq!(
        (usize::from(u16::from_be_bytes([sent[2], sent[3]])), &sent[6..8]),
        (20 + length, &[0, 0][..])
    );
}
