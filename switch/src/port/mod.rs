//! Ports: where packets come in and go out. A [`Device`] is what stands behind one; its thread calls it, and no other.

mod finisher;
pub mod packet;
pub mod pcap;
pub mod tap;
pub mod vhost;
pub mod xdp;

use crate::counters::{Reason, Shared};
use crate::frame::{Batch, Outgoing};
pub use crate::port_id::PortId;
use crate::worker::wake::Wake;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long a peer may take to finish a message that it has begun.
pub const MESSAGE_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a port's peer or device was dropped.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// It went away by itself.
    #[error("the peer closed the connection")]
    Closed,
    /// It does not speak vhost-user as it should.
    #[error("{0}")]
    Protocol(String),
    /// It began a message and did not finish it.
    #[error("it did not finish a message within {} s", MESSAGE_TIMEOUT.as_secs())]
    Unfinished,
    /// It broke the rules of a ring.
    #[error("its ring: {0}")]
    Ring(#[from] vhost::RingError),
    /// It took its memory away.
    #[error("its memory shrank while it was in use")]
    Shrank,
    /// It stopped a thread: its eventfd was full and blocking.
    #[error("its call eventfd blocks")]
    Blocks,
    /// The kernel's side failed.
    #[error("{0}")]
    System(#[from] io::Error),
}

/// A change of a port, from its thread to the switch's own.
#[derive(Debug)]
pub enum PortEvent {
    /// The link came up or went down.
    Link(PortId, bool),
    /// The peer was dropped. A port that waits for connections may have another.
    PortError(PortId, PortError),
}

/// A descriptor that packets can be read from, one a call, each behind a virtio header of 12 bytes.
#[derive(Clone, Copy)]
pub struct CutThroughSource<'a> {
    /// The descriptor; it does not block.
    pub fd: BorrowedFd<'a>,
}

/// What one device received straight from another's [`CutThroughSource`].
#[derive(Debug, Default)]
pub struct CutThrough {
    /// Packets, also those that were dropped.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether the device had too few buffers for any packet there may be.
    pub short: bool,
    /// The source failed.
    pub failed: Option<io::Error>,
}

/// What stands behind a port.
pub trait Device: Send {
    /// Adds packets that came in to the batch.
    fn receive(&mut self, batch: &mut Batch) -> Result<(), PortError>;

    /// Where its packets can be read by another device instead.
    fn source(&self) -> Option<CutThroughSource<'_>> {
        None
    }

    /// Reads packets from another device's source straight to the peer; those that are longer than `longest` (cut into
    /// segments, where that is left to do) are dropped. `None` if it cannot.
    fn cut_through_from(
        &mut self,
        source: &CutThroughSource<'_>,
        longest: usize,
        shared: &Shared,
    ) -> Option<Result<CutThrough, PortError>> {
        let _ = (source, longest, shared);
        None
    }

    /// The device as a vhost-user back end, if it is one.
    fn as_vhost(&mut self) -> Option<&mut vhost::Vhost> {
        None
    }

    /// The batch that [`Device::receive`] filled is done with: its buffers go back.
    fn release(&mut self) {}

    /// Sends frames of a batch, in order, as far as there is room; how many.
    fn send(&mut self, batch: &Batch, which: &[Outgoing], shared: &Shared) -> Result<usize, PortError>;

    /// The frame that [`Device::send`] had no room for is not sent again: what remembers how much of it has gone out
    /// forgets it.
    fn forget_position(&mut self) {}

    /// Everything sent and given back since the last time becomes visible to the peer; `true` if a part does not yet,
    /// and the call is to be repeated soon.
    fn flush(&mut self, shared: &Shared) -> Result<bool, PortError> {
        let _ = shared;
        Ok(false)
    }

    /// How many more packets of ordinary length the peer can take now.
    fn room(&self) -> usize {
        usize::MAX
    }

    /// From now on the thread may sleep, and the device wakes it for a packet; `true` if one is there already.
    fn arm(&mut self, wake: &Wake) -> Result<bool, PortError>;

    /// The thread looks by itself from now on.
    fn disarm(&mut self) {}

    /// Whether packets can come and go.
    fn is_up(&self) -> bool;

    /// A descriptor that the device has registered is ready.
    fn event(&mut self, token: u16, wake: &Wake, shared: &Shared) -> Result<(), PortError> {
        let _ = (token, wake, shared);
        Ok(())
    }

    /// When the peer has to have finished the message that it is in the middle of; `None` if it is in none.
    fn message_deadline(&self) -> Option<Instant> {
        None
    }

    /// The device begins on its thread.
    fn begin(&mut self, wake: &Wake) -> io::Result<()>;

    /// A peer has connected (vhost-user).
    fn connected(&mut self, stream: UnixStream, wake: &Wake) -> io::Result<()> {
        let _ = (stream, wake);
        Ok(())
    }

    /// Lets the peer go, if it has one.
    fn disconnect(&mut self, wake: &Wake);

    /// The link's state as the kernel tells it (TAP and packet sockets).
    fn carrier(&mut self, up: bool) {
        let _ = up;
    }
}

/// Behind a port whose device was let go, until it is opened again.
pub struct Absent;

impl Device for Absent {
    fn receive(&mut self, _: &mut Batch) -> Result<(), PortError> {
        Ok(())
    }

    fn send(&mut self, _: &Batch, which: &[Outgoing], shared: &Shared) -> Result<usize, PortError> {
        shared.count_drops(Reason::Down, which.len() as u64);
        Ok(which.len())
    }

    fn arm(&mut self, _: &Wake) -> Result<bool, PortError> {
        Ok(false)
    }

    fn is_up(&self) -> bool {
        false
    }

    fn begin(&mut self, _: &Wake) -> io::Result<()> {
        Ok(())
    }

    fn disconnect(&mut self, _: &Wake) {}
}
