//! Tests: a driver that writes anything anywhere, on each device as a whole. Whatever it does, nothing outside guest
//! memory is touched, nothing waits for ever, and the device works for an honest driver after a reset.

use super::balloon::Balloon;
use super::block::{Block, Disk};
use super::console::{Console, ConsoleBuffers};
use super::device::Device;
use super::driver;
use super::net::Net;
use super::rng::Rng;
use super::transport::{Service, Slot};
use crate::memory::Memory;
use machine::io::{Port, Tokens, WatchSet};
use machine::memory::GuestPhys;
use machine::net::options::DeviceOptions;
use machine::vcpu::VcpuState;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const MEMORY: u64 = 1 << 20;

/// Numbers that are the same in every run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A number that is likely to matter: small, an address, a power of two, or anything.
    fn telling(&mut self) -> u64 {
        match self.below(5) {
            0 => self.below(8),
            1 => self.below(MEMORY / 16) * 16,
            2 => 1 << self.below(64),
            3 => MEMORY.wrapping_add(self.below(64)).wrapping_sub(32),
            _ => self.next(),
        }
    }
}

/// A device, and what keeps its other end alive.
struct Subject {
    name: &'static str,
    slot: Arc<Slot>,
    _other_end: Option<UnixDatagram>,
}

fn subjects(memory: &Memory) -> Vec<Subject> {
    let state = Arc::new(VcpuState::new().unwrap());
    let lines = Arc::new(ConsoleBuffers::new(&state).unwrap());
    let (tap, other_end) = UnixDatagram::pair().unwrap();
    tap.set_nonblocking(true).unwrap();
    let net = Net::new(0, OwnedFd::from(tap), &DeviceOptions::default(), &state);
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("garbage-disk-{}-{number}", std::process::id()));
    std::fs::write(&path, vec![7; 64 << 10]).unwrap();
    let disk = Disk::open(&path, true).unwrap();
    std::fs::remove_file(&path).unwrap();
    let devices: [(_, Box<dyn Device>, _); 5] = [
        ("console", Box::new(Console::new(lines)), None),
        ("entropy", Box::new(Rng::open().unwrap()), None),
        ("balloon", Box::new(Balloon::default()), None),
        ("net", Box::new(net), Some(other_end)),
        ("disk", Box::new(Block::new(0, disk)), None),
    ];
    let subject = |(name, device, _other_end)| {
        let slot = Arc::new(Slot::new(device, memory).unwrap());
        Subject { name, slot, _other_end }
    };
    devices.into_iter().map(subject).collect()
}

/// Where each queue is.
fn places(queue: u32) -> [u32; 3] {
    [0, 0x1000, 0x2000].map(|part| 0x1_0000 * (queue + 1) + part)
}

fn set_up(slot: &Slot, accepted: u64) -> bool {
    driver::set_up(slot, accepted, places)
}

#[test]
fn whatever_a_driver_writes_its_device_is_there_after_a_reset() {
    let memory = Memory::new(MEMORY).unwrap();
    for Subject { name, slot, _other_end } in subjects(&memory) {
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        let mut watch = WatchSet::new().unwrap();
        let tokens = Tokens::of(0);
        let mut service = Service(slot.clone());
        service.watch(tokens, &mut watch).unwrap();
        let features = driver::offered(&slot);
        for round in 0..8000 {
            if round % 8 == 0 {
                assert!(set_up(&slot, features), "{name} in round {round}");
            }
            // Descriptors, rings, and what they point to.
            for _ in 0..numbers.below(40) {
                let queue = 0x1_0000 * (1 + numbers.below(3));
                let place = queue + numbers.below(4) * 0x1000 + numbers.below(36) * 4;
                let value = numbers.telling();
                memory.region.write(GuestPhys(place), &value.to_le_bytes()).unwrap();
            }
            for queue in 1..4 {
                let index = (round as u16 % 8 + numbers.below(9) as u16).to_le_bytes();
                memory.region.write(GuestPhys(0x1_0000 * queue + 0x1002), &index).unwrap();
            }
            if numbers.below(4) == 0 {
                let (offset, value) = (numbers.below(0x140), numbers.telling());
                slot.write(offset, &value.to_le_bytes()[..1 << numbers.below(4)]);
                slot.read(offset, &mut [0; 8][..1 << numbers.below(4)]);
            }
            for _ in 0..3 {
                service.serve(numbers.below(64), tokens, &mut watch).unwrap();
            }
        }
        assert!(set_up(&slot, features), "{name} at the end");
    }
}

#[test]
fn a_device_that_was_reset_touches_no_memory() {
    let memory = Memory::new(MEMORY).unwrap();
    for Subject { name, slot, _other_end } in subjects(&memory) {
        let mut watch = WatchSet::new().unwrap();
        let mut service = Service(slot.clone());
        let features = driver::offered(&slot);
        assert!(set_up(&slot, features), "{name}");
        slot.reset();
        let full = vec![0x55; MEMORY as usize];
        memory.region.write(GuestPhys(0), &full).unwrap();
        for number in 0..64 {
            service.serve(number, Tokens::of(0), &mut watch).unwrap();
        }
        let mut after = vec![0; MEMORY as usize];
        memory.region.read(GuestPhys(0), &mut after).unwrap();
        assert!(after == full, "{name} has written to memory");
    }
}

#[test]
fn features_that_were_not_offered_are_refused() {
    let memory = Memory::new(MEMORY).unwrap();
    for Subject { name, slot, _other_end } in subjects(&memory) {
        assert!(!set_up(&slot, u64::MAX), "{name}");
        assert!(!set_up(&slot, 0), "{name} without virtio 1");
    }
}
