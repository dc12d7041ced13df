//! Any packet: its headers are read for hashing, neighbours, anti-spoofing and LACP, its tag is taken, and its offloads
//! are done.
#![no_main]

use libfuzzer_sys::fuzz_target;
use switch::bond::{Spread, hash};
use switch::forward::neighbours::Question;
use switch::frame::Batch;
use switch::offload::{Abilities, Offload, finish};
use switch::headers::lacp::Lacpdu;
use switch::headers::{Mac, be16, ip};

fuzz_target!(|bytes: &[u8]| {
    let Some((header, packet)) = bytes.split_first_chunk::<10>() else { return };
    let word = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let header = vhost_header(header[0], header[1], word(2), word(4), word(6), word(8));
    let mut batch = Batch::default();
    batch.push_bytes(packet, Offload::from_header(&header).unwrap_or_default());
    for frame in batch.frames_mut() {
        frame.take_tag();
        let head = frame.head();
        hash::of(head, Spread::Layer23);
        hash::of(head, Spread::Layer34);
        ip::Layout::of(head);
        Lacpdu::parse(head);
        if let Some(question) = Question::parse(head, be16(head, 12)) {
            question.answer(Mac::ZERO);
        }
    }
    for frame in batch.frames() {
        let mut whole = Vec::new();
        batch.copy_out(frame, 7, &mut whole);
        whole.clear();
        batch.copy_out(frame, 0, &mut whole);
        finish(&mut whole, frame.offload, Abilities::default(), &mut Vec::new(), &mut |_, _| {});
    }
});

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
