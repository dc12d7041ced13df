//! The channel between monitor and guest. Each kind of machine has its own: a ring in guest memory, or a serial port.

use crate::control::RefusalKind;
use crate::timeline::Timeline;
use crate::vcpu::VcpuState;

/// A message to the guest.
#[derive(Clone, Copy, Debug)]
pub enum ToGuest<'a> {
    /// Bytes typed at the console.
    ConsoleInput(&'a [u8]),
    /// Asks the guest to stop within this many milliseconds; then it is killed.
    Stop(u32),
    /// A request with its number, which the answer repeats.
    Request(u64, GuestRequest<'a>),
}

/// A request of the control socket that the guest itself answers.
#[derive(Clone, Copy, Debug)]
pub enum GuestRequest<'a> {
    /// Read the handler `ELEMENT.HANDLER`.
    Read(&'a str),
    /// Write this value to a handler of this name.
    Write(&'a str, &'a str),
    /// Run this configuration from now on.
    Configure(&'a str),
    /// Return the guest's statistics.
    Statistics,
}

/// A message from the guest, or a part of one.
#[derive(Debug)]
pub enum FromGuest<'a> {
    /// Bytes for the console.
    ConsoleOutput(&'a [u8]),
    /// Part of the answer to a request.
    Reply {
        /// Number of the request.
        id: u64,
        /// Bytes of the value, or of the reason.
        bytes: &'a [u8],
        /// Set on the last part: done, or refused for this reason.
        outcome: Option<Result<(), RefusalKind>>,
    },
}

/// The state of a channel after [`Channel::receive`].
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// The guest sleeps until there is room, and has to be woken.
    pub wake: bool,
    /// There is more to receive.
    pub more: bool,
}

/// The rule of the channel that the guest has broken.
#[derive(Debug)]
pub struct Broken(pub String);

/// The channel between monitor and guest.
pub trait Channel: Send {
    /// Queues a message; `false` if too much waits already.
    fn send(&mut self, message: ToGuest<'_>) -> bool;

    /// Moves queued bytes to the guest. Returns whether it sleeps and has to be woken.
    fn flush(&mut self) -> Result<bool, Broken>;

    /// Receives what the guest has sent, up to a limit, and passes it to `each` in parts.
    fn receive(&mut self, each: &mut dyn FnMut(FromGuest<'_>)) -> Result<Received, Broken>;

    /// The phases of the instance's start so far.
    fn timeline(&self, state: &VcpuState) -> Timeline;

    /// Nanoseconds since the guest was entered.
    fn up_ns(&self) -> u64;

    /// The guest's own counters, which are not checked.
    fn counters(&self) -> Vec<u64>;
}
