//! Any packet: its headers are read for hashing, neighbours, anti-spoofing and LACP, its tag is taken and given back, and
//! its offloads are done.
//!
//! Asserted: a packet comes out as it went in, but for the tag that was taken or given; what is done for it leaves its
//! addresses alone, loses and adds no byte of payload, fills in one checksum that is right, and makes no packet longer
//! than was asked for; a packet that makes no sense comes out not at all.
#![no_main]

use libfuzzer_sys::fuzz_target;
use switch::bond::{Spread, hash};
use switch::forward::neighbours::Question;
use switch::frame::Batch;
use switch::headers::lacp::Lacpdu;
use switch::headers::{Mac, be16, ip};
use switch::offload::{Abilities, Finished, Offload, finish};

fuzz_target!(|bytes: &[u8]| {
    let Some((header, packet)) = bytes.split_first_chunk::<10>() else { return };
    let word = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let header = vhost_header(header[0], header[1], word(2), word(4), word(6), word(8));
    let mut batch = Batch::default();
    if !batch.push_bytes(packet, Offload::from_header(&header).unwrap_or_default()) {
        return;
    }
    let mut vlan = None;
    for frame in batch.frames_mut() {
        vlan = frame.take_tag();
        let head = frame.head();
        hash::of(head, Spread::Layer23);
        hash::of(head, Spread::Layer34);
        ip::Layout::of(head);
        Lacpdu::parse(head);
        if let Some(question) = Question::parse(head, be16(head, 12)) {
            question.answer(Mac::ZERO);
        }
    }
    let frame = &batch.frames()[0];
    let taken = if vlan.is_some() { 4 } else { 0 };
    let copied = |vlan: u16| {
        let mut whole = Vec::new();
        batch.copy_out(frame, vlan, &mut whole);
        whole
    };
    let plain = copied(0);
    assert_eq!((plain.len(), frame.length()), (packet.len() - taken, packet.len() - taken));
    if plain.len() >= 12 {
        assert!(plain[..12] == packet[..12] && plain[12..] == packet[12 + taken..], "it was changed");
        let tagged = copied(7);
        assert_eq!([&plain[..12], &[0x81, 0, tagged[14], 7], &plain[12..]].concat(), tagged);
        assert_eq!(tagged[14] & 0xf, 0, "the VLAN is 7");
    }
    let mut emitted = Vec::new();
    let mut whole = plain.clone();
    let finished =
        finish(&mut whole, frame.offload, Abilities::default(), &mut Vec::new(), &mut |bytes, left| {
            assert!(!left.needs_checksum() && left.segment().is_none(), "something is left to do: {left:?}");
            emitted.push(bytes.to_vec());
        });
    match finished {
        Finished::Malformed => assert!(emitted.is_empty(), "a part of a packet that makes no sense"),
        Finished::Packets(count) => assert_eq!(emitted.len(), count),
    }
    for packet in &emitted {
        assert_eq!(packet.get(..12), plain.get(..12), "its addresses");
    }
    match frame.offload.segment() {
        Some(size) if !emitted.is_empty() => check_segments(&plain, size, &emitted),
        _ => emitted.iter().for_each(|packet| check_whole(&plain, frame.offload, packet)),
    }
});

/// The segments of a large packet carry its payload, whole and in order.
fn check_segments(plain: &[u8], size: usize, segments: &[Vec<u8>]) {
    let layout = ip::Layout::of(plain).expect("what was cut is TCP");
    let headers = layout.transport + usize::from(plain[layout.transport + 12] >> 4) * 4;
    let sequence = |packet: &[u8]| -> u32 {
        u32::from_be_bytes(*packet[layout.transport + 4..].first_chunk().expect("a header of TCP"))
    };
    let mut payload = Vec::new();
    for (number, segment) in segments.iter().enumerate() {
        let part = &segment[headers..];
        assert!(!part.is_empty() && part.len() <= size, "{} bytes in segments of {size}", part.len());
        assert!(part.len() == size || number + 1 == segments.len(), "a short segment before the last");
        assert_eq!(sequence(segment), sequence(plain).wrapping_add(payload.len() as u32));
        payload.extend_from_slice(part);
    }
    assert!(plain[headers..].starts_with(&payload), "other bytes than were sent");
    // What is missing at the end is padding behind the IP packet.
    let network = layout.network;
    let claimed = match layout.ipv6 {
        true => network + 40 + usize::from(be16(plain, network + 4)),
        false => network + usize::from(be16(plain, network + 2)),
    };
    let end = headers + payload.len();
    assert!(end == plain.len() || end == claimed, "it ends at {end}, not at {claimed} or {}", plain.len());
}

/// A packet that stays whole has at most one checksum filled in, behind its addresses, and then it is right.
fn check_whole(plain: &[u8], offload: Offload, packet: &[u8]) {
    assert_eq!(plain.len(), packet.len());
    let changed: Vec<usize> = (0..plain.len()).filter(|&at| plain[at] != packet[at]).collect();
    let header = offload.header();
    if !offload.needs_checksum() {
        assert!(changed.is_empty(), "nothing was to be done");
        return;
    }
    let start = usize::from(header.checksum_start);
    let place = start + usize::from(header.checksum_offset);
    assert!(start >= 14 && changed.iter().all(|at| (place..place + 2).contains(at)));
    // The sum over all that is covered, with the checksum in place of the pseudo header's sum: that sum, negated and
    // then added once more, is zero (RFC 1071).
    let sum = |packet: &[u8]| {
        packet[start..].chunks(2).fold(0u64, |sum, pair| {
            let low = pair.get(1).copied().unwrap_or(0);
            sum + u64::from(u16::from_be_bytes([pair[0], low]))
        })
    };
    let folded = (0..4).fold(sum(plain), |sum, _| (sum & 0xffff) + (sum >> 16));
    let filled = u16::from_be_bytes([packet[place], packet[place + 1]]);
    assert_eq!(if folded == 0xffff { 0xffff } else { !(folded as u16) }, filled);
}

fn vhost_header(
    flags: u8,
    gso_type: u8,
    header_length: u16,
    gso_size: u16,
    start: u16,
    offset: u16,
) -> abi::net::NetHeader {
    abi::net::NetHeader {
        flags,
        gso_type,
        header_length,
        gso_size,
        checksum_start: start,
        checksum_offset: offset,
        buffers: 0,
    }
}
