//! Forwarding of single frames: flood limits, learned addresses, and VLAN tags at every kind of port.

use super::*;
use crate::headers::{ETHERTYPE_CTAG, ETHERTYPE_STAG};

fn segment(ports: &[u16]) -> SegmentEntry {
    let members = ports.iter().map(|&p| Member { port: PortId(p), vlan: 0 }).collect();
    let name = "s".to_owned();
    SegmentEntry { name, point_to_point: false, answers: false, flood_limit: 10, members }
}

fn port(native: u32, trunk: &[(u16, SegmentId)]) -> PortEntry {
    PortEntry {
        name: "p".to_owned(),
        native: Some(SegmentId(native)),
        trunk: trunk.to_vec(),
        mtu: 1500,
        ..PortEntry::default()
    }
}

#[test]
fn a_flood_bucket_keeps_its_level_when_the_configuration_changes() {
    let tables =
        Tables { ports: vec![Some(port(0, &[]))], segments: vec![segment(&[0])], ..Tables::default() };
    let mut forwarder = Forwarder::new([1, 3]);
    forwarder.change(&Tables::default(), &tables);
    let bucket = |f: &mut Forwarder| f.ports[0].flood.as_mut().unwrap().take(1, 0);
    while bucket(&mut forwarder) {}
    forwarder.change(&tables, &tables);
    assert!(!bucket(&mut forwarder), "it is still empty");
}

#[test]
fn no_tag_of_a_sender_takes_a_frame_into_another_vlan() {
    // An access port, and a trunk whose native segment is the same: an inner tag would be the outer one there.
    let trunk = port(0, &[(5, SegmentId(1))]);
    let tables = Tables {
        ports: vec![Some(port(0, &[])), Some(trunk)],
        segments: vec![segment(&[0, 1]), segment(&[])],
        ..Tables::default()
    };
    tables.all_ports().for_each(|(_, p)| p.shared.link.store(true, std::sync::atomic::Ordering::Relaxed));
    let leaves = |tags: &[u8]| {
        let mut forwarder = Forwarder::new([1, 3]);
        forwarder.change(&Tables::default(), &tables);
        let frame = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 1], tags, &[8, 0], &[0; 46]].concat();
        let mut batch = Batch::default();
        batch.push_bytes(&frame, Offload::default());
        forwarder.forward(&tables, PortId(0), &mut batch, Now::default());
        forwarder.next_out().is_some()
    };
    assert!(leaves(&[]));
    assert!(leaves(&[0x81, 0, 0xe0, 0]), "a priority tag is no VLAN");
    assert!(!leaves(&[0x81, 0, 0, 5]));
    for inner in [[0x81, 0, 0, 5], [0x88, 0xa8, 0, 5]] {
        assert!(!leaves(&[&[0x81, 0, 0, 0][..], &inner].concat()));
    }
}

#[test]
fn a_frame_that_ends_within_its_tag_is_dropped() {
    let trunk = PortEntry { trunk: vec![(5, SegmentId(0))], ..port(0, &[]) };
    let tables = Tables {
        ports: vec![Some(port(0, &[])), Some(trunk), Some(port(0, &[]))],
        segments: vec![segment(&[0, 1, 2])],
        ..Tables::default()
    };
    tables.all_ports().for_each(|(_, p)| p.shared.link.store(true, std::sync::atomic::Ordering::Relaxed));
    let mut forwarder = Forwarder::new([1, 3]);
    forwarder.change(&Tables::default(), &tables);
    for from in [0, 1] {
        for length in 14..18 {
            let mut batch = Batch::default();
            let frame = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 1], &[0x81, 0, 0, 0, 8, 0]].concat();
            batch.push_bytes(&frame[..length], Offload::default());
            forwarder.forward(&tables, PortId(from), &mut batch, Now::default());
            assert!(forwarder.next_out().is_none(), "{length} bytes from port {from}");
        }
        let drops = tables.port(PortId(from)).unwrap().shared.read(false).drops;
        assert_eq!(drops.get(&Reason::Malformed), Some(&4), "{drops:?}");
    }
}

#[test]
fn a_burst_between_two_goes_where_its_first_frame_does_and_others_do_not() {
    let access = || Some(port(0, &[]));
    let tables = Tables {
        ports: vec![access(), access(), access()],
        segments: vec![segment(&[0, 1, 2])],
        learn_limit: 10,
        ageing: 300,
        addresses: 64,
        ..Tables::default()
    };
    tables.all_ports().for_each(|(_, p)| p.shared.link.store(true, std::sync::atomic::Ordering::Relaxed));
    let mut forwarder = Forwarder::new([1, 3]);
    forwarder.change(&Tables::default(), &tables);
    for end in [1, 2] {
        forwarder.fdb.learn(SegmentId(0), Mac([2, 0, 0, 0, 0, end as u8]), PortId(end), 0);
    }
    let frame = |to: u8, from: u8, rest: &[u8]| {
        [&[2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from][..], rest, &[0; 50]].concat()
    };
    let plain: &[u8] = &[8, 0];
    let frames = [
        (frame(1, 9, plain), Some(1)),
        (frame(1, 9, plain), Some(1)),
        (frame(1, 9, &[0x81, 0, 0, 5, 8, 0]), None),
        (frame(1, 9, plain), Some(1)),
        (frame(2, 9, plain), Some(2)),
        (frame(2, 8, plain), Some(2)),
        (frame(9, 9, plain), None),
        (frame(1, 9, plain), Some(1)),
    ];
    let mut batch = Batch::default();
    for (bytes, _) in &frames {
        batch.push_bytes(bytes, Offload::default());
    }
    forwarder.forward(&tables, PortId(0), &mut batch, Now::default());
    let mut went = vec![None; frames.len()];
    while let Some((to, list)) = forwarder.next_out() {
        list.iter().for_each(|out| went[usize::from(out.frame)] = Some(to.0));
    }
    let expected: Vec<_> = frames.iter().map(|(_, to)| *to).collect();
    assert_eq!(went, expected);
    assert_eq!(
        forwarder.fdb.find(SegmentId(0), Mac([2, 0, 0, 0, 0, 8]), 0),
        Some(PortId(0)),
        "it was learned"
    );
}

#[test]
fn a_new_segment_takes_nothing_from_what_others_have_learned() {
    let named = |name: &str| SegmentEntry { name: name.to_owned(), ..segment(&[0, 1]) };
    let before = Tables {
        ports: vec![Some(port(0, &[])), Some(port(0, &[]))],
        segments: vec![named("m")],
        learn_limit: 10,
        ageing: 300,
        addresses: 64,
        ..Tables::default()
    };
    // Its name comes first, and so does its number.
    let after = Tables {
        ports: vec![Some(port(1, &[])), Some(port(1, &[]))],
        segments: vec![named("a"), named("m")],
        learn_limit: 10,
        ageing: 300,
        addresses: 64,
        ..Tables::default()
    };
    let mac = Mac([2, 0, 0, 0, 0, 9]);
    let mut forwarder = Forwarder::new([1, 3]);
    forwarder.change(&Tables::default(), &before);
    forwarder.fdb.learn(SegmentId(0), mac, PortId(1), 0);
    forwarder.change(&before, &after);
    assert_eq!(forwarder.fdb.find(SegmentId(1), mac, 0), Some(PortId(1)));
    assert_eq!(forwarder.fdb.find(SegmentId(0), mac, 0), None);
    forwarder.change(&after, &before);
    assert_eq!(forwarder.fdb.find(SegmentId(0), mac, 0), Some(PortId(1)));
}

/// Tags of a frame, outermost first, as (EtherType, VLAN ID).
type Tags = &'static [(u16, u16)];

const C: u16 = ETHERTYPE_CTAG;
const S: u16 = ETHERTYPE_STAG;

/// How a frame with these tags leaves by each kind of port, having come in by one kind; `None`: not at all.
///
/// Segment 0 is native at the access ports and at the trunks with a native segment, and VLAN 5 at the trunk without one.
/// Segment 1 is VLAN 7 at the trunks.
fn leaves(by: usize, tags: Tags) -> Vec<Option<Vec<(u16, u16)>>> {
    let trunk = |native: Option<u32>, vlans: &[(u16, SegmentId)]| PortEntry {
        native: native.map(SegmentId),
        ..port(0, vlans)
    };
    let member = |port: u16, vlan: u16| Member { port: PortId(port), vlan };
    let mut zero = segment(&[]);
    zero.members = vec![member(0, 0), member(1, 0), member(2, 5), member(3, 0), member(4, 5), member(5, 0)];
    let mut one = segment(&[]);
    one.members = vec![member(2, 7), member(3, 7), member(4, 7), member(5, 7)];
    let (five, seven) = ((5, SegmentId(0)), (7, SegmentId(1)));
    let tables = Tables {
        ports: vec![
            // Each kind twice, so that a frame may leave by the kind that it came in by.
            Some(port(0, &[])),
            Some(port(0, &[])),
            Some(trunk(None, &[five, seven])),
            Some(trunk(Some(0), &[seven])),
            Some(trunk(None, &[five, seven])),
            Some(trunk(Some(0), &[seven])),
        ],
        segments: vec![zero, one],
        ..Tables::default()
    };
    tables.all_ports().for_each(|(_, p)| p.shared.link.store(true, std::sync::atomic::Ordering::Relaxed));
    let mut forwarder = Forwarder::new([1, 3]);
    forwarder.change(&Tables::default(), &tables);
    let mut bytes = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 1]].concat();
    for (kind, vlan) in tags {
        bytes.extend([kind.to_be_bytes(), (0x6000 | vlan).to_be_bytes()].concat());
    }
    bytes.extend([0x88, 0xb5]);
    bytes.extend([0; 46]);
    let mut batch = Batch::default();
    batch.push_bytes(&bytes, Offload::default());
    forwarder.forward(&tables, PortId(by as u16), &mut batch, Now::default());
    let mut out = vec![None; 6];
    while let Some((port, list)) = forwarder.next_out() {
        let mut bytes = Vec::new();
        batch.copy_out(&batch.frames()[0], list[0].vlan, &mut bytes);
        let tag = |n: usize| {
            let kind = crate::headers::be16(&bytes, 12 + 4 * n);
            is_tag(kind).then(|| (kind, crate::headers::be16(&bytes, 14 + 4 * n) & 0xfff))
        };
        out[port.index()] = Some((0..).map_while(tag).collect());
    }
    // The access port, the trunk without and with a native segment, that it did not come in by.
    [[0, 1], [2, 4], [3, 5]]
        .iter()
        .map(|pair| out[*pair.iter().find(|p| **p != by).unwrap()].clone())
        .collect()
}

#[test]
fn every_kind_of_frame_at_every_kind_of_port() {
    const ACCESS: usize = 0;
    const TRUNK: usize = 2;
    const NATIVE: usize = 3;
    let no: Option<Tags> = None;
    let bare: Option<Tags> = Some(&[]);
    let (five, seven): (Option<Tags>, Option<Tags>) = (Some(&[(C, 5)]), Some(&[(C, 7)]));
    #[rustfmt::skip]
    let cells: &[(usize, Tags, [Option<Tags>; 3])] = &[
        // Came in by, with these tags; leaves an access port, a trunk, a trunk with a native segment.
        (ACCESS, &[],               [bare, five, bare]),
        // A priority tag is no VLAN (IEEE 802.1Q, 6.9).
        (ACCESS, &[(C, 0)],         [bare, five, bare]),
        (ACCESS, &[(C, 5)],         [no, no, no]),
        (ACCESS, &[(C, 7)],         [no, no, no]),
        // A service tag is payload to a customer bridge, but it never becomes the outer tag of a trunk's native VLAN.
        (ACCESS, &[(S, 5)],         [Some(&[(S, 5)]), Some(&[(C, 5), (S, 5)]), no]),
        (ACCESS, &[(C, 0), (C, 7)], [no, no, no]),
        (ACCESS, &[(C, 0), (S, 7)], [no, no, no]),
        (ACCESS, &[(C, 5), (C, 7)], [no, no, no]),
        (TRUNK, &[],                [no, no, no]),
        (TRUNK, &[(C, 0)],          [no, no, no]),
        (TRUNK, &[(C, 5)],          [bare, five, bare]),
        (TRUNK, &[(C, 7)],          [no, seven, seven]),
        (TRUNK, &[(C, 9)],          [no, no, no]),
        (TRUNK, &[(S, 5)],          [no, no, no]),
        (TRUNK, &[(C, 7), (C, 9)],  [no, Some(&[(C, 7), (C, 9)]), Some(&[(C, 7), (C, 9)])]),
        (TRUNK, &[(C, 5), (C, 7)],  [Some(&[(C, 7)]), Some(&[(C, 5), (C, 7)]), no]),
        (NATIVE, &[],               [bare, five, bare]),
        (NATIVE, &[(C, 0)],         [bare, five, bare]),
        (NATIVE, &[(C, 5)],         [no, no, no]),
        (NATIVE, &[(C, 7)],         [no, seven, seven]),
        (NATIVE, &[(C, 0), (C, 7)], [no, no, no]),
        (NATIVE, &[(C, 7), (S, 9)], [no, Some(&[(C, 7), (S, 9)]), Some(&[(C, 7), (S, 9)])]),
    ];
    for (by, tags, expected) in cells {
        let expected: Vec<_> = expected.iter().map(|tags| tags.map(<[_]>::to_vec)).collect();
        assert_eq!(leaves(*by, tags), expected, "in by port {by} with {tags:x?}");
    }
}

#[test]
fn ports_that_come_and_go_leave_what_they_would_have_left_had_they_never_been() {
    let wire = |name: &str| SegmentEntry { name: name.to_owned(), point_to_point: true, ..segment(&[]) };
    let empty = Tables {
        segments: vec![segment(&[]), wire("w")],
        learn_limit: 10,
        ageing: 300,
        addresses: 64,
        ..Tables::default()
    };
    let named = |n: u16, native: u32| PortEntry {
        name: format!("p{n}"),
        mac: Some(Mac([2, 0, 0, 0, 0, n as u8])),
        ..port(native, &[])
    };
    let mut tables = empty.clone();
    let mut forwarder = Forwarder::new([1, 3]);
    forwarder.change(&Tables::default(), &empty);
    for (n, native) in [(0, 0), (1, 0), (2, 1), (3, 1)] {
        forwarder.apply(&mut tables, &TableDelta::PortAdded(PortId(n), named(n, native)));
    }
    let mac = |n: u8| Mac([2, 0, 0, 0, 0, n]);
    assert_eq!(forwarder.fdb.find(SegmentId(0), mac(1), 0), Some(PortId(1)));
    assert_eq!(forwarder.point_to_point_to(PortId(2)), Some(PortId(3)));
    assert_eq!(forwarder.point_to_point_to(PortId(3)), Some(PortId(2)));
    // What was learned at a port that is gone is gone with it, and is not the next one's of the same number.
    forwarder.fdb.learn(SegmentId(0), mac(9), PortId(1), 0);
    for n in [1, 2] {
        forwarder.apply(&mut tables, &TableDelta::PortRemoved(PortId(n)));
    }
    forwarder.apply(&mut tables, &TableDelta::PortAdded(PortId(1), named(7, 0)));
    assert_eq!(forwarder.fdb.find(SegmentId(0), mac(9), 0), None);
    assert_eq!(forwarder.fdb.find(SegmentId(0), mac(1), 0), None);
    assert_eq!(forwarder.fdb.find(SegmentId(0), mac(7), 0), Some(PortId(1)));
    assert_eq!(forwarder.point_to_point_to(PortId(3)), None);
    // The whole made anew comes to the same.
    let mut anew = Forwarder::new([1, 3]);
    anew.change(&Tables::default(), &tables);
    let shown = |f: &Forwarder| {
        let mut all: Vec<_> = f.fdb.show(0).iter().map(|e| format!("{e:?}")).collect();
        all.sort();
        all
    };
    assert_eq!(shown(&forwarder), shown(&anew));
}
