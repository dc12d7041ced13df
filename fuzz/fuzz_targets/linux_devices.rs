//! A driver that writes anything to a virtio device of a Linux guest, to its registers, its queues and memory, in any order,
//! while the device works. Nothing waits or crashes, and after a reset an honest driver finds the device as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use linux::memory::Memory;
use linux::virtio::balloon::Balloon;
use linux::virtio::block::{Block, Disk};
use linux::virtio::console::{Console, ConsoleBuffers};
use linux::virtio::device::Device;
use linux::virtio::driver;
use linux::virtio::net::Net;
use linux::virtio::rng::Rng;
use linux::virtio::transport::{Service, Slot};
use machine::io::{Port, Tokens, WatchSet};
use machine::memory::GuestPhys;
use machine::net::options::DeviceOptions;
use machine::vcpu::VcpuState;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;

const MEMORY: u64 = 1 << 20;
/// Most steps of a run.
const STEPS: usize = 512;

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn number(&mut self, bytes: usize) -> Option<u64> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }
}

/// Accepts all that the device offers; whether it took the queues.
fn set_up(slot: &Slot) -> bool {
    let accepted = driver::offered(slot);
    driver::set_up(slot, accepted, |queue| [1, 2, 3].map(|part| 0x1000 * (3 * queue + part)))
}

/// A device, with what keeps its other end alive.
fn device(kind: u64, state: &Arc<VcpuState>) -> (Box<dyn Device>, Option<UnixDatagram>) {
    match kind % 5 {
        0 => (Box::new(Console::new(Arc::new(ConsoleBuffers::new(state).expect("lines")))), None),
        1 => (Box::new(Rng::open().expect("entropy")), None),
        2 => (Box::new(Balloon::default()), None),
        3 => {
            let (tap, other_end) = UnixDatagram::pair().expect("a pair");
            tap.set_nonblocking(true).expect("set");
            (Box::new(Net::new(0, OwnedFd::from(tap), &DeviceOptions::default(), state)), Some(other_end))
        }
        _ => {
            let file = tempfile::NamedTempFile::new_in("/dev/shm").expect("a file");
            file.as_file().set_len(64 << 10).expect("set");
            (Box::new(Block::new(0, Disk::open(file.path(), true).expect("a disk"))), None)
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let Some(kind) = input.number(1) else { return };
    let memory = Memory::new(MEMORY).expect("memory");
    let state = Arc::new(VcpuState::new().expect("state"));
    let (device, other_end) = device(kind, &state);
    let slot = Arc::new(Slot::new(device, &memory).expect("a slot"));
    let (mut service, tokens) = (Service(slot.clone()), Tokens::of(0));
    let mut watch = WatchSet::new().expect("a watch set");
    service.watch(tokens, &mut watch).expect("watched");
    assert!(set_up(&slot));
    for _ in 0..STEPS {
        let Some(step) = input.number(1) else { break };
        let size = 1 << (step >> 4 & 3);
        match step & 7 {
            0 => {
                let (Some(offset), Some(value)) = (input.number(2), input.number(8)) else { break };
                slot.write(offset % 0x200, &value.to_le_bytes()[..size]);
            }
            1 => {
                let Some(offset) = input.number(2) else { break };
                slot.read(offset % 0x200, &mut [0; 8][..size]);
            }
            // Where the queues are, and anywhere.
            2 | 3 => {
                let (Some(at), Some(value)) = (input.number(3), input.number(8)) else { break };
                let at = if step & 1 == 0 { at % 0xa000 } else { at % (MEMORY - 8) };
                memory.region.write(GuestPhys(at), &value.to_le_bytes()[..size]).expect("it fits");
            }
            4 => drop(set_up(&slot)),
            5 => {
                if let Some(other_end) = &other_end {
                    // A queue that is full takes no more.
                    let _ = other_end.set_nonblocking(true).and_then(|()| other_end.send(&[step as u8; 100]));
                }
            }
            _ => {
                let Some(number) = input.number(1) else { break };
                assert!(service.serve(number % 64, tokens, &mut watch).is_ok());
            }
        }
    }
    service.finish();
    assert!(set_up(&slot));
});
