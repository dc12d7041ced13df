//! The channel of the I/O thread to a ring-3 guest: control ring and boot marks.

use super::control_ring::{ControlError, ControlRing};
use super::free_memory::FreeMemory;
use super::marks::Marks;
use abi::control as message;
use machine::control::RefusalKind;
use machine::io::{Broken, Channel, FromGuest, GuestRequest, Received, ToGuest};
use machine::timeline::{Timeline, Tsc, unix_ns};
use machine::vcpu::VcpuState;

/// The channel to a guest in ring 3.
pub struct GuestChannel {
    /// Messages in both directions.
    pub ring: ControlRing,
    /// The guest's time stamps and counters.
    pub marks: Marks,
    /// Discards memory that the guest frees.
    pub free_memory: FreeMemory,
}

fn broken(e: ControlError) -> Broken {
    Broken(e.to_string())
}

impl GuestChannel {
    /// Tells a prepared guest that its boot page is complete. Returns whether the guest waits for the message and must be notified.
    pub fn assign(&mut self) -> Result<bool, Broken> {
        self.ring.send(message::ASSIGN, 0, b"");
        self.ring.flush_backlog().map_err(broken)
    }

    /// Sends the wall clock before the request: the clock of a guest that slept may have drifted.
    fn request(&mut self, id: u64, request: GuestRequest<'_>) -> bool {
        let mut clock = Tsc::now().0.to_le_bytes().to_vec();
        clock.extend(unix_ns().to_le_bytes());
        self.ring.send(message::CLOCK, 0, &clock);
        match request {
            GuestRequest::Read(handler) => self.ring.send(message::HANDLER_READ, id, handler.as_bytes()),
            GuestRequest::Write(handler, value) => {
                let payload = [handler.as_bytes(), b"\0", value.as_bytes()].concat();
                self.ring.send(message::HANDLER_WRITE, id, &payload)
            }
            GuestRequest::Configure(config) => self.ring.send(message::CONFIGURE, id, config.as_bytes()),
            GuestRequest::Statistics => self.ring.send(message::STATISTICS, id, b""),
        }
    }
}

/// The meaning of a reply's status.
fn outcome(status: u16) -> Result<(), RefusalKind> {
    match status {
        message::STATUS_OK => Ok(()),
        message::STATUS_UNSUPPORTED => Err(RefusalKind::Unsupported),
        message::STATUS_NOT_FOUND => Err(RefusalKind::NotFound),
        message::STATUS_FORBIDDEN => Err(RefusalKind::Forbidden),
        _ => Err(RefusalKind::Refused),
    }
}

impl Channel for GuestChannel {
    fn send(&mut self, message: ToGuest<'_>) -> bool {
        match message {
            ToGuest::ConsoleInput(bytes) => self.ring.send(message::CONSOLE_INPUT, 0, bytes),
            ToGuest::Stop(grace_ms) => self.ring.send(message::STOP, 0, &grace_ms.to_le_bytes()),
            ToGuest::Request(id, request) => self.request(id, request),
        }
    }

    fn flush(&mut self) -> Result<bool, Broken> {
        self.ring.flush_backlog().map_err(broken)
    }

    fn receive(&mut self, each: &mut dyn FnMut(FromGuest<'_>)) -> Result<Received, Broken> {
        let free_memory = &mut self.free_memory;
        let drained = self.ring.drain(|piece| match piece.header.kind {
            message::FREE_RANGES => free_memory.receive(&piece),
            message::CONSOLE_OUTPUT => each(FromGuest::ConsoleOutput(piece.bytes)),
            message::REPLY => each(FromGuest::Reply {
                id: piece.header.id,
                bytes: piece.bytes,
                outcome: piece.last.then(|| outcome(piece.header.status)),
            }),
            _ => {}
        });
        let (mut wake, more) = drained.map_err(broken)?;
        if !self.free_memory.done.is_empty() {
            for id in std::mem::take(&mut self.free_memory.done) {
                self.ring.send(message::RANGES_DISCARDED, id, b"");
            }
            wake |= self.ring.flush_backlog().map_err(broken)?;
        }
        Ok(Received { wake, more })
    }

    fn timeline(&self, state: &VcpuState) -> Timeline {
        self.marks.timeline(state.ready().is_some())
    }

    fn up_ns(&self) -> u64 {
        self.marks.up_ns()
    }

    fn counters(&self) -> Vec<u64> {
        self.marks.counters()
    }
}
