//! A vhost-user front end that says anything and has anything in its rings: messages with and without descriptors, then
//! packets both ways.
//!
//! Asserted: what is taken to be sent is sent or counted as dropped; the peer's descriptors are bounded while it is served
//! and closed after it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::fs::File;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::sync::mpsc::channel;
use switch::counters::Shared;
use switch::frame::{Batch, Outgoing};
use switch::offload::Offload;
use switch::port::vhost::{Settings, Vhost};
use switch::port::{CutThroughSource, Device, PortId};
use switch::worker::wake::{Wake, event_fd};
use vhost_user::message::{MemoryRegion, Request, RingAddresses, RingEvent, RingState};
use vhost_user::socket::Connection;

const GUEST: u64 = 0x10000;
const SIZE: u64 = 0x8000;

fn memory(bytes: &[u8]) -> Option<OwnedFd> {
    // SAFETY: the name is a C string; the descriptor that is returned has no other owner.
    let fd = unsafe {
        let fd = libc::memfd_create(c"peer".as_ptr(), libc::MFD_CLOEXEC);
        if fd < 0 {
            return None;
        }
        OwnedFd::from_raw_fd(fd)
    };
    let file = File::from(fd.try_clone().ok()?);
    file.set_len(SIZE).ok()?;
    file.write_all_at(&bytes[..bytes.len().min(SIZE as usize)], 0).ok()?;
    Some(fd)
}

/// What a front end says that means to be served, so that what follows meets running rings.
fn begin() -> Vec<Request> {
    let region = MemoryRegion { guest_address: GUEST, length: SIZE, user_address: GUEST, offset: 0 };
    let mut all = vec![
        Request::SetFeatures(1 << 32 | 1 << 29 | 1 << 15 | 1 << 8 | 1 << 7 | 3),
        Request::SetMemoryTable(vec![region]),
    ];
    for index in 0..2u32 {
        let at = GUEST + 0x1000 * u64::from(index);
        let addresses = RingAddresses {
            index,
            flags: 0,
            descriptors: at,
            available: at + 0x400,
            used: at + 0x600,
            log: 0,
        };
        all.extend([
            Request::SetRingSize(RingState { index, value: 64 }),
            Request::SetRingAddresses(addresses),
            Request::SetRingBase(RingState { index, value: 0 }),
            Request::SetRingCall(RingEvent { index: index as u8, no_descriptor: false }),
            Request::SetRingKick(RingEvent { index: index as u8, no_descriptor: false }),
        ]);
    }
    all
}

/// Open descriptors of this process.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// Most descriptors that a port may hold for a peer: its connection, memory regions, and two events of each ring.
const HELD_MAXIMUM: usize = 1 + 32 + 4;

/// Sends, and checks that nothing vanishes.
fn send(port: &mut Vhost, batch: &Batch, list: &[Outgoing], shared: &Shared) -> bool {
    let gone = || {
        let counted = shared.read(false);
        counted.sent + counted.drops.values().sum::<u64>()
    };
    let before = gone();
    let Ok(taken) = port.send(batch, list, shared) else { return false };
    assert!(taken <= list.len());
    assert!(gone() - before >= taken as u64, "{taken} were taken, {} are accounted for", gone() - before);
    true
}

fuzz_target!(|bytes: &[u8]| {
    // The runtime opens what it needs before.
    let before = descriptors();
    serve(bytes);
    assert_eq!(descriptors(), before, "descriptors are left open");
});

fn serve(bytes: &[u8]) {
    let Some((&kind, bytes)) = bytes.split_first() else { return };
    let (said, inside) = bytes.split_at(bytes.len().min(usize::from(kind) * 2));
    let (Some(memory), Ok(event)) = (memory(inside), event_fd()) else { return };
    let (Ok((front, back)), (retired, _regions)) = (UnixStream::pair(), channel()) else { return };
    let (Ok(wake), Ok((near, far))) = (Wake::new(retired), UnixDatagram::pair()) else { return };
    if [front.set_nonblocking(true), near.set_nonblocking(true), far.set_nonblocking(true)]
        .iter()
        .any(Result::is_err)
    {
        return;
    }
    let settings = Settings { offload: kind & 1 == 0, notifying: Default::default(), port: PortId(0) };
    let (mut port, shared) = (Vhost::new(settings), Shared::default());
    if port.connected(back, &wake).is_err() {
        return;
    }
    let mut front = Connection::new(front);
    let ours = descriptors();
    let fds = |memories: usize, events: usize| {
        let mut all = vec![memory.as_fd(); memories];
        all.extend(vec![event.as_fd(); events]);
        all
    };
    for request in begin() {
        let memories = usize::from(matches!(request, Request::SetMemoryTable(_)));
        let fds = fds(memories, request.descriptors() - memories);
        if front.send(request.code(), &request.emit(), &fds, false).is_err()
            || port.event(0, &wake, &shared).is_err()
        {
            return;
        }
    }
    let mut batch = Batch::default();
    let mut rest = said;
    for _ in 0..8 {
        batch.clear();
        let received = port.receive(&mut batch);
        for frame in batch.frames_mut() {
            frame.take_tag();
        }
        let list: Vec<Outgoing> =
            (0..batch.len() as u16).map(|frame| Outgoing { frame, vlan: frame % 3 }).collect();
        let sent = send(&mut port, &batch, &list, &shared);
        port.release();
        batch.clear();
        batch.push_bytes(inside.get(..1000).unwrap_or(inside), Offload::default());
        let own = (0..batch.len() as u16).map(|frame| Outgoing { frame, vlan: 0 }).collect::<Vec<_>>();
        let also = send(&mut port, &batch, &own, &shared);
        let _ = far.send(inside.get(..2000).unwrap_or(inside));
        let source = CutThroughSource { fd: near.as_fd() };
        let straight = port.cut_through_from(&source, 1514, &shared).and_then(Result::err);
        if received.is_err() || !sent || !also || straight.is_some() || port.flush(&shared).is_err() {
            break;
        }
        if port.arm(&wake).is_err() {
            break;
        }
        let Some((&[code, flags, length], more)) = rest.split_first_chunk::<3>() else { break };
        let (payload, more) = more.split_at(more.len().min(length.into()));
        rest = more;
        let fds = fds(usize::from(flags & 3), usize::from(flags >> 2 & 3));
        if front.send(code.into(), payload, &fds, flags & 0x80 != 0).is_err()
            || port.event(0, &wake, &shared).is_err()
        {
            break;
        }
        while let Ok(Some(_)) = front.receive() {}
        let held = descriptors().saturating_sub(ours);
        assert!(held <= HELD_MAXIMUM, "{held} descriptors of a peer");
    }
    port.disconnect(&wake);
}
