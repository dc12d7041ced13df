//! Frames through a forwarder with ports of every kind. Whatever is sent: nothing leaves its segment, nothing comes back by
//! its own port, nothing is lost without a count, a bound port sends from its own addresses alone, and a frame is never in
//! more places than its segment has.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::atomic::Ordering::Relaxed;
use switch::forward::fdb::SegmentId;
use switch::forward::tables::{Binding, Member, PortEntry, SegmentEntry, Tables};
use switch::forward::{Forwarder, Now};
use switch::frame::Batch;
use switch::headers::Mac;
use switch::offload::Offload;
use switch::port::PortId;

/// Ports 0 and 1: segment 0. Port 2: segment 1. Port 3: VLAN 5 is segment 0, VLAN 7 segment 1. Port 4: segment 0, bound.
const PORTS: usize = 5;
const BOUND: usize = 4;
const OWN: Mac = Mac([2, 0, 0, 0, 0, 4]);
const ADDRESS: [u8; 4] = [10, 0, 0, 4];
/// Most addresses that a port may have learned.
const LEARNED: u32 = 8;

fn tables() -> Tables {
    let segment = |name: &str, members: &[(u16, u16)]| SegmentEntry {
        name: name.to_owned(),
        point_to_point: false,
        answers: false,
        flood_limit: 0,
        members: members.iter().map(|&(port, vlan)| Member { port: PortId(port), vlan }).collect(),
    };
    let port = |native: Option<u32>, trunk: &[(u16, SegmentId)]| {
        let entry = PortEntry {
            name: "p".to_owned(),
            native: native.map(SegmentId),
            trunk: trunk.to_vec(),
            mtu: 9000,
            ..PortEntry::default()
        };
        entry.shared.link.store(true, Relaxed);
        entry
    };
    let bound_to = Some(Binding::new(OWN, &[ADDRESS.into()], &[]));
    let ports = vec![
        Some(port(Some(0), &[])),
        Some(port(Some(0), &[])),
        Some(port(Some(1), &[])),
        Some(port(None, &[(5, SegmentId(0)), (7, SegmentId(1))])),
        Some(PortEntry { bound_to, ..port(Some(0), &[]) }),
    ];
    Tables {
        ports,
        segments: vec![segment("a", &[(0, 0), (1, 0), (3, 5), (4, 0)]), segment("b", &[(2, 0), (3, 7)])],
        fixed: [((SegmentId(0), OWN), PortId(BOUND as u16))].into(),
        addresses: 64,
        learn_limit: LEARNED,
        ageing: 300,
        ..Tables::default()
    }
}

fn ethertype(frame: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*frame.get(at..)?.first_chunk()?))
}

/// Ethertype of an 802.1Q tag, the only one that says which segment a frame is in.
const TAG: u16 = 0x8100;

fn is_tag(ethertype: u16) -> bool {
    [0x8100, 0x88a8, 0x9100, 0x9200, 0x9300].contains(&ethertype)
}

/// The segment that a frame belongs to, read off its first tag.
fn segment_of(port: usize, frame: &[u8]) -> Option<u32> {
    let kind = ethertype(frame, 12)?;
    let vlan = if kind == TAG {
        // A frame that ends within its tag belongs to none.
        ethertype(frame, 16)?;
        ethertype(frame, 14)? & 0xfff
    } else {
        0
    };
    match (port, vlan) {
        (0 | 1 | BOUND, 0) => Some(0),
        (2, 0) => Some(1),
        (3, 5) => Some(0),
        (3, 7) => Some(1),
        _ => None,
    }
}

/// Whether what a frame says of its sender is the bound port's: read without any of the switch's code.
fn is_own(frame: &[u8]) -> bool {
    let mut at = 12;
    while ethertype(frame, at).is_some_and(is_tag) {
        at += 4;
    }
    let packet = frame.get(at + 2..).unwrap_or_default();
    let word = |at: usize| packet.get(at..at + 4).unwrap_or_default();
    let address = |found: &[u8]| found == ADDRESS || found == [0; 4];
    let inside = match ethertype(frame, at) {
        Some(0x0800) => address(word(12)),
        Some(0x0806) => packet.get(8..14) == Some(&OWN.0) && address(word(14)),
        Some(0x86dd) => {
            let source = packet.get(8..24).unwrap_or_default();
            let link_local = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, OWN.0[0] ^ 2, 0, 0, 0xff, 0xfe, 0, 0, 4];
            source == link_local || source == [0; 16]
        }
        _ => false,
    };
    frame.get(6..12) == Some(&OWN.0) && inside
}

fuzz_target!(|bytes: &[u8]| {
    let tables = tables();
    let mut forwarder = Forwarder::new([1, 3]);
    forwarder.change(&Tables::default(), &tables);
    let dropped = || -> u64 {
        let of = |port: &PortEntry| port.shared.read(false).drops.values().sum::<u64>();
        tables.ports.iter().flatten().map(of).sum()
    };
    let mut rest = bytes;
    while let Some((&[port, length], more)) = rest.split_first_chunk::<2>() {
        let (frame, more) = more.split_at(more.len().min(length.into()));
        rest = more;
        let port = usize::from(port) % PORTS;
        let mut batch = Batch::default();
        if !batch.push_bytes(frame, Offload::default()) {
            continue;
        }
        let before = dropped();
        forwarder.forward(&tables, PortId(port as u16), &mut batch, Now::default());
        let mut places = 0;
        while let Some((to, list)) = forwarder.next_out() {
            for out in &list {
                places += 1;
                assert_ne!(to.index(), port, "it comes back");
                let segment = segment_of(port, frame).expect("what belongs to no segment goes nowhere");
                let members = &tables.segments[segment as usize].members;
                let member = members.iter().find(|m| m.port == to).expect("it leaves its segment");
                assert_eq!(out.vlan, member.vlan);
                assert!(port != BOUND || is_own(frame), "a foreign address of a bound port");
                let mut whole = Vec::new();
                batch.copy_out(&batch.frames()[usize::from(out.frame)], 0, &mut whole);
                // All of it but for its first tag.
                let tag = if ethertype(frame, 12) == Some(TAG) { 4 } else { 0 };
                assert!(whole[..12] == frame[..12] && whole[12..] == frame[12 + tag..], "it was changed");
            }
            forwarder.recycle(to, list);
        }
        assert!(places < PORTS, "it is in more places than there are");
        assert!(places > 0 || dropped() > before, "it is lost without a count");
        let learned = forwarder.fdb.show(0).len();
        assert!(learned <= PORTS * LEARNED as usize + 1, "{learned} addresses are learned");
    }
});
