//! A guest that writes anything to its control ring: the monitor's ends of both streams.
//!
//! Asserted: pieces of a message are no more than its header says, and its last piece is the one that completes it.
#![no_main]

use abi::boot::Range;
use libfuzzer_sys::fuzz_target;
use machine::memory::{GuestPhys, Region};
use std::sync::Arc;
use vmm::channel::control_ring::ControlRing;

const BASE: u64 = 0x1000_0000;
const LENGTH: u64 = 0xa000;

fuzz_target!(|bytes: &[u8]| {
    let Ok((region, _fd)) = Region::shared(GuestPhys(BASE), LENGTH) else { return };
    let memory = Arc::new(region);
    let bytes = &bytes[..bytes.len().min(LENGTH as usize)];
    let range = |at| Range { base: BASE + at, length: abi::control::RING_SIZE.into() };
    // The streams' bytes overlap the page with the positions in one run of two.
    let at = if bytes.len() % 2 == 0 { 0 } else { 0x1000 };
    let Ok(mut ring) = ControlRing::new(&memory, BASE, range(at), range(at + 0x4000)) else { return };
    memory.write(GuestPhys(BASE), bytes).expect("it fits");
    let mut left = None;
    for _ in 0..4 {
        let drained = ring.drain(|piece| {
            let whole = piece.header.length as usize;
            let rest =
                left.take().unwrap_or(whole).checked_sub(piece.bytes.len()).expect("no more than it has");
            assert_eq!(piece.last, rest == 0);
            left = (rest > 0).then_some(rest);
        });
        ring.send(1, 1, bytes);
        if drained.is_err() || ring.flush_backlog().is_err() {
            return;
        }
    }
});
