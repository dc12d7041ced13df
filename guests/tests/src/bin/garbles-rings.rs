//! Garbage in a ring ends the guest, and does nothing else. Ends by a fault, except `shuffled` and `control-unknown`,
//! which are odd but right and end with 0. `receive-` cases need a packet to arrive.
//!
//! Cases, on the transmit queue: `runaway` (the available index), `backwards` (it goes back), `descriptor` (beyond the
//! table), `next` (a chain that leaves the table), `loop`, `empty` (no bytes), `short` (less than a header), `long`
//! (more than any packet), `direction` (a buffer to write), `mixed` (both directions in a chain), `indirect`,
//! `shuffled` (a chain against the order of the table), `transmit-random` (random words all over the queue). On the
//! receive queue: `receive-short`, `receive-direction`, `receive-loop`, `receive-runaway`. On the control ring:
//! `control-runaway`, `control-length` (a message longer than any), `control-unknown` (kinds and replies that nobody
//! knows), `control-consumed` (more read than was sent; needs console input to be noticed).
#![no_std]
#![no_main]

extern crate alloc;

use core::mem::offset_of;
use core::sync::atomic::{Ordering, fence};
use core::time::Duration;
use minios::abi::boot::Queue;
use minios::abi::control::{CONSOLE_OUTPUT, ControlPage, MESSAGE_MAXIMUM, REPLY, RING_SIZE, RingPositions};
use minios::abi::virtqueue::*;
use minios::{ExitCode, boot, clock, random, registers};

minios::image! { name: "garbles-rings", main: main, net_maximum: 1 }

const NEXT: u16 = DESCRIPTOR_NEXT;
const WRITE: u16 = DESCRIPTOR_WRITE;

/// A queue to spoil.
struct Ring(Queue);

impl Ring {
    fn poke<T>(&self, address: u64, value: T) {
        // SAFETY: every address is in one of the queue's parts.
        unsafe { (address as *mut T).write_volatile(value) };
    }

    fn descriptor(&self, index: u64, length: u32, flags: u16, next: u16) {
        // The start of the heap: nothing is there that matters.
        let address = boot::page().heap.base + 0x1000 * (index + 1);
        self.poke(self.0.descriptors + 16 * index, Descriptor { address, length, flags, next });
    }

    fn offer(&self, heads: &[u16], index: u16) {
        for (i, &head) in heads.iter().enumerate() {
            self.poke(self.0.available + AVAILABLE_RING + 2 * i as u64, head);
        }
        fence(Ordering::SeqCst);
        self.poke(self.0.available + AVAILABLE_INDEX, index);
        fence(Ordering::SeqCst);
        registers::ring(self.0.doorbell);
    }

    fn scramble(&self) {
        for i in 0..u64::from(self.0.size) {
            let words = [random::next_u64() & 0x0fff_ffff | 0x1000_0000, random::next_u64()];
            self.poke(self.0.descriptors + 16 * i, words);
            self.poke(self.0.available + AVAILABLE_RING + 2 * i, random::next_u64() as u16);
        }
        self.offer(&[], self.0.size as u16);
    }
}

fn control_word(offset: usize) -> *mut u32 {
    (boot::page().control_page + offset as u64) as *mut u32
}

/// Writes raw bytes to the start of the ring to the host, and claims `produced`.
fn control(bytes: &[u8], produced: u32) {
    // SAFETY: the ring's bytes; nothing was printed before.
    unsafe {
        let page = boot::page().control_page as *const ControlPage;
        let ring = (*page).to_host_bytes.base as *mut u8;
        core::ptr::copy_nonoverlapping(bytes.as_ptr(), ring, bytes.len());
        fence(Ordering::SeqCst);
        control_word(offset_of!(ControlPage, to_host)).write_volatile(produced);
    }
    registers::ring(minios::abi::registers::DOORBELL_CONTROL);
}

fn message(length: u32, kind: u16) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes[4..6].copy_from_slice(&kind.to_le_bytes());
    bytes[8] = 77;
    bytes
}

fn main() -> ExitCode {
    let case = tests::case();
    let mut legal = false;
    if case.starts_with("control") {
        legal = case == "control-unknown";
        match case {
            "control-runaway" => control(&[], RING_SIZE + 1),
            "control-length" => control(&message(MESSAGE_MAXIMUM + 1, CONSOLE_OUTPUT), 16),
            "control-unknown" => {
                let bytes = [message(0, REPLY), message(0, 999), message(0, REPLY), message(0, 0)].concat();
                control(&bytes, 64);
            }
            "control-consumed" => {
                let at = offset_of!(ControlPage, to_guest) + offset_of!(RingPositions, consumed);
                // SAFETY: the word is this side's to write.
                unsafe { control_word(at).write_volatile(1 << 20) };
                registers::ready();
                wait(Duration::from_secs(5));
            }
            _ => return tests::no_such_case(),
        }
    } else {
        let Some(device) = boot::net_devices().first() else { return tests::no_such_case() };
        let receive = case.starts_with("receive");
        let ring = Ring(if receive { device.receive } else { device.transmit });
        let size = ring.0.size as u16;
        match case {
            "runaway" => ring.offer(&[0], size + 1),
            "backwards" => {
                ring.descriptor(0, 64, 0, 0);
                ring.offer(&[0], 1);
                wait(Duration::from_millis(20));
                ring.offer(&[0], 0);
            }
            "descriptor" => ring.offer(&[size], 1),
            "next" => {
                ring.descriptor(0, 64, NEXT, size);
                ring.offer(&[0], 1);
            }
            "loop" => {
                ring.descriptor(0, 64, NEXT, 1);
                ring.descriptor(1, 64, NEXT, 0);
                ring.offer(&[0], 1);
            }
            "empty" | "short" => {
                ring.descriptor(0, if case == "short" { 5 } else { 0 }, 0, 0);
                ring.offer(&[0], 1);
            }
            "long" => {
                (0..3).for_each(|i| ring.descriptor(i, 30_000, if i < 2 { NEXT } else { 0 }, i as u16 + 1));
                ring.offer(&[0], 1);
            }
            "direction" => {
                ring.descriptor(0, 64, WRITE, 0);
                ring.offer(&[0], 1);
            }
            "mixed" => {
                ring.descriptor(0, 64, NEXT, 1);
                ring.descriptor(1, 64, WRITE, 0);
                ring.offer(&[0], 1);
            }
            "indirect" => {
                ring.descriptor(0, 64, DESCRIPTOR_INDIRECT, 0);
                ring.offer(&[0], 1);
            }
            "shuffled" => {
                legal = true;
                ring.descriptor(5, 12, NEXT, 2);
                ring.descriptor(2, 14, NEXT, 0);
                ring.descriptor(0, 46, 0, 0);
                ring.offer(&[5], 1);
            }
            "transmit-random" => ring.scramble(),
            "receive-short" | "receive-direction" | "receive-loop" | "receive-runaway" => {
                match case {
                    "receive-short" => ring.descriptor(0, 5, WRITE, 0),
                    "receive-direction" => ring.descriptor(0, 2048, 0, 0),
                    _ => ring.descriptor(0, 16, WRITE | NEXT, 0),
                }
                ring.offer(&[0], if case == "receive-runaway" { size + 1 } else { 1 });
                registers::ready();
                wait(Duration::from_secs(5));
            }
            _ => return tests::no_such_case(),
        }
    }
    wait(Duration::from_millis(200));
    if legal { ExitCode::SUCCESS } else { tests::SURVIVED }
}

/// Sleeps, whatever wakes the guest meanwhile.
fn wait(duration: Duration) {
    let deadline = clock::now() + duration;
    while clock::now() < deadline {
        registers::yield_until(Some(clock::tsc_at(deadline)));
    }
}
