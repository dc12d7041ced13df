//! Front ends of vhost-user that do as a test says, in place of a guest.

use crate::eventually;
use crate::switch::Switch;
use std::fs::File;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use vhost_user::message::{MemoryRegion, Request, RingAddresses, RingEvent, RingState};
use vhost_user::socket::Connection;

/// A front end that does as it is told.
pub struct FrontEnd {
    /// Its connection.
    pub connection: Connection,
    /// The guest's memory.
    pub memory: OwnedFd,
}

/// Where the guest's memory begins.
pub const GUEST: u64 = 0x1000_0000;
/// Its length, bytes.
pub const SIZE: u64 = 1 << 20;
/// VIRTIO_F_VERSION_1.
const VERSION_1: u64 = 1 << 32;

/// A memory file.
pub fn memfd(size: u64) -> OwnedFd {
    // SAFETY: the name is a C string; the descriptor that is returned has no other owner.
    let fd = unsafe { OwnedFd::from_raw_fd(libc::memfd_create(c"peer".as_ptr(), libc::MFD_CLOEXEC)) };
    File::from(fd.try_clone().expect("a descriptor")).set_len(size).expect("sized");
    fd
}

/// An eventfd.
pub fn event() -> OwnedFd {
    // SAFETY: as above.
    unsafe { OwnedFd::from_raw_fd(libc::eventfd(0, libc::EFD_NONBLOCK)) }
}

impl FrontEnd {
    /// Connects to the switch.
    pub fn new(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).expect("the switch listens");
        stream.set_read_timeout(Some(Duration::from_secs(2))).expect("set");
        Self { connection: Connection::new(stream), memory: memfd(SIZE) }
    }

    /// Connects to a port of a switch, which is up then.
    #[track_caller]
    pub fn at(switch: &Switch, port: &str) -> Self {
        Self::at_with(switch, port, VERSION_1)
    }

    /// The same with these features.
    #[track_caller]
    pub fn at_with(switch: &Switch, port: &str, features: u64) -> Self {
        let mut front = Self::new(&switch.folder.join(format!("{port}.sock")));
        assert!(front.begin_with(features), "{port}");
        switch.is_up_soon(port);
        front
    }

    /// Connects with the memory that an earlier one had.
    pub fn again(socket: &Path, memory: OwnedFd) -> Self {
        Self { memory, ..Self::new(socket) }
    }

    /// Sends a request; whether the switch is still there.
    pub fn ask(&mut self, request: &Request, fds: &[&OwnedFd]) -> bool {
        let fds: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
        let sent = self.connection.send(request.code(), &request.emit(), &fds, false);
        sent.is_ok() && (!request.needs_answer() || matches!(self.connection.receive(), Ok(Some(_))))
    }

    /// All memory.
    pub fn region(&self) -> MemoryRegion {
        MemoryRegion { guest_address: GUEST, length: SIZE, user_address: GUEST, offset: 0 }
    }

    /// All that it takes until the rings run: descriptors at 0, available at 0x4000, used at 0x5000 of each ring's 64 KiB.
    pub fn begin(&mut self) -> bool {
        self.begin_with(VERSION_1)
    }

    /// The same with these features.
    pub fn begin_with(&mut self, features: u64) -> bool {
        let region = self.region();
        let memory = self.memory.try_clone().expect("a descriptor");
        let mut good = self.ask(&Request::GetFeatures, &[])
            && self.ask(&Request::SetOwner, &[])
            && self.ask(&Request::SetFeatures(features), &[])
            && self.ask(&Request::SetMemoryTable(vec![region]), &[&memory]);
        for index in 0..2 {
            let at = GUEST + 0x10000 * u64::from(index);
            let addresses = RingAddresses {
                index,
                flags: 0,
                descriptors: at,
                used: at + 0x5000,
                available: at + 0x4000,
                log: 0,
            };
            good = good
                && self.ask(&Request::SetRingSize(RingState { index, value: 256 }), &[])
                && self.ask(&Request::SetRingAddresses(addresses), &[])
                && self.ask(&Request::SetRingBase(RingState { index, value: 0 }), &[])
                && self.ask(
                    &Request::SetRingCall(RingEvent { index: index as u8, no_descriptor: false }),
                    &[&event()],
                )
                && self.ask(
                    &Request::SetRingKick(RingEvent { index: index as u8, no_descriptor: false }),
                    &[&event()],
                );
        }
        good
    }

    /// Writes into the guest's memory.
    pub fn write(&self, at: u64, bytes: &[u8]) {
        let file = File::from(self.memory.try_clone().expect("a descriptor"));
        file.write_all_at(bytes, at).expect("written");
    }

    /// The used index of a ring.
    pub fn used(&self, ring: u64) -> u16 {
        let mut index = [0; 2];
        let file = File::from(self.memory.try_clone().expect("a descriptor"));
        file.read_exact_at(&mut index, 0x10000 * ring + 0x5002).expect("read");
        u16::from_le_bytes(index)
    }

    /// A descriptor of the ring that the guest transmits by.
    pub fn descriptor(&self, index: u64, address: u64, length: u32, flags: u16, next: u16) {
        self.descriptor_of(1, index, address, length, flags, next);
    }

    /// A descriptor of a ring.
    pub fn descriptor_of(&self, ring: u64, index: u64, address: u64, length: u32, flags: u16, next: u16) {
        let mut d = address.to_le_bytes().to_vec();
        d.extend(length.to_le_bytes());
        d.extend(flags.to_le_bytes());
        d.extend(next.to_le_bytes());
        self.write(0x10000 * ring + 16 * index, &d);
    }

    /// Makes chains available in the ring that the guest transmits by.
    pub fn offer(&self, heads: &[u16], index: u16) {
        self.offer_of(1, heads, index);
    }

    /// The same for a ring.
    pub fn offer_of(&self, ring: u64, heads: &[u16], index: u16) {
        for (i, head) in heads.iter().enumerate() {
            self.write(0x10000 * ring + 0x4004 + 2 * i as u64, &head.to_le_bytes());
        }
        self.write(0x10000 * ring + 0x4002, &index.to_le_bytes());
    }

    /// A chain of `count` descriptors from 0 on: 12 bytes at `at`, then the bytes behind them, one a descriptor.
    pub fn long_chain(&self, ring: u64, count: u16, at: u64, flags: u16) {
        for i in 0..count {
            let (address, length) = if i == 0 { (at, 12) } else { (at + 11 + u64::from(i), 1) };
            let next = u16::from(i + 1 < count);
            self.descriptor_of(ring, i.into(), GUEST + address, length, flags | next, i + 1);
        }
    }
}

/// A port for the one that is tested, one for a well-behaved peer, and a record of what leaves.
pub const SERVER: &str = "\
[segments.s]
[ports.victim]
device = { vhost-user = { path = \"@/victim.sock\" } }
segment = \"s\"
[ports.out]
device = { pcap = { write = \"@/out\" } }
segment = \"s\"
[ports.good]
device = { vhost-user = { path = \"@/good.sock\" } }
segment = \"s\"
";

/// A well-behaved peer of the same switch, whose frames must always get through.
pub struct WellBehavedPort {
    /// Its front end.
    pub front: FrontEnd,
    sent: u16,
}

impl WellBehavedPort {
    /// Connects to port `good`.
    #[track_caller]
    pub fn new(switch: &Switch) -> Self {
        let front = FrontEnd::at(switch, "good");
        front.descriptor(0, GUEST + 0x40000, 12 + 60, 0, 0);
        let mut packet = vec![0u8; 12];
        packet.extend(crate::frames::frame(crate::frames::EVERYONE, crate::frames::mac(1), None, b"good"));
        front.write(0x40000, &packet);
        Self { front, sent: 0 }
    }

    /// Sends a frame.
    #[track_caller]
    pub fn sends(&mut self) {
        self.sent += 1;
        let slot = u64::from((self.sent - 1) % 256);
        self.front.write(0x14004 + 2 * slot, &0u16.to_le_bytes());
        self.front.write(0x14002, &self.sent.to_le_bytes());
        // A port that has slept for long looks again when it is told anything.
        assert!(self.front.ask(&Request::GetFeatures, &[]), "the good peer keeps its port");
    }

    /// Sends a frame and waits until the switch has it.
    #[track_caller]
    pub fn gets_through(&mut self, switch: &Switch) {
        self.sends();
        eventually("the frame is through", || switch.port("good").counters.received == u64::from(self.sent));
    }
}

/// Whether the switch has dropped the victim's peer.
#[track_caller]
pub fn is_dropped(switch: &Switch, words: &str) {
    eventually(&format!("the peer is dropped: {words}"), || {
        switch.port("victim").last_error.is_some_and(|e| e.contains(words))
    });
}
