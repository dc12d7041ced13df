//! Guest memory full of anything, walked as a virtqueue in both directions and drained as a control ring.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use vmm::channel::control_ring::ControlRing;
use machine::memory::{GuestPhys, Region};
use machine::net::virtqueue::{DeviceQueue, Direction};

const BASE: u64 = 0x1000_0000;
const LENGTH: u64 = 0x4000;

fuzz_target!(|bytes: &[u8]| {
    let Ok((region, _fd)) = Region::shared(GuestPhys(BASE), LENGTH) else { return };
    let memory = Arc::new(region);
    let bytes = &bytes[..bytes.len().min(LENGTH as usize)];
    memory.write(GuestPhys(BASE), bytes).expect("it fits");
    let queue = abi::boot::Queue {
        descriptors: BASE,
        available: BASE + 0x400,
        used: BASE + 0x600,
        size: 64,
        doorbell: 1,
    };
    for direction in [Direction::ToGuest, Direction::FromGuest] {
        let mut device = DeviceQueue::new(memory.clone(), queue, direction, true);
        let mut buffers = Vec::new();
        for _ in 0..80 {
            buffers.clear();
            match device.peek(0, &mut buffers) {
                Ok(Some(chain)) => drop(device.complete(chain.head, 1)),
                _ => break,
            }
        }
        let _ = (device.arm(0), device.publish(), device.disarm());
    }
    let range = |at| abi::boot::Range { base: BASE + at, length: 16384 };
    if let Ok(mut ring) = ControlRing::new(&memory, BASE, range(0), range(0)) {
        let _ = ring.drain(|_| ());
        ring.send(1, 1, bytes);
        let _ = ring.pump();
    }
});
