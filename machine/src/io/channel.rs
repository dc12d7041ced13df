//! The channel between monitor and guest, as the I/O thread uses it. Each kind of machine has its own: a ring in guest
//! memory, a serial port.

use crate::control::RefusalKind;
use crate::timeline::Timeline;
use crate::vcpu::VcpuState;

/// A message to the guest.
#[derive(Clone, Copy, Debug)]
pub enum ToGuest<'a> {
    /// Bytes typed at the console.
    ConsoleInput(&'a [u8]),
    /// The guest shall stop within this time, milliseconds, before it is ended.
    Stop(u32),
    /// The guest shall answer this, under this number.
    Request(u64, GuestRequest<'a>),
}

/// A request of the control socket that the guest itself answers.
#[derive(Clone, Copy, Debug)]
pub enum GuestRequest<'a> {
    /// Value of a handler, named `ELEMENT.HANDLER`.
    Read(&'a str),
    /// Write this value to a handler of this name.
    Write(&'a str, &'a str),
    /// Run this configuration from now on.
    Configure(&'a str),
    /// The guest's own numbers.
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

/// What [`Channel::receive`] leaves.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// The guest sleeps until there is room: wake it.
    pub wake: bool,
    /// There is more to receive.
    pub more: bool,
}

/// A guest that has broken the channel's rules: how.
#[derive(Debug)]
pub struct Broken(pub String);

/// The channel between monitor and guest.
pub trait Channel: Send {
    /// Queues a message; `false` if too much waits already.
    fn send(&mut self, message: ToGuest<'_>) -> bool;

    /// Moves queued bytes to the guest; whether it sleeps until they come.
    fn flush(&mut self) -> Result<bool, Broken>;

    /// Takes what the guest has sent, up to a bound, and hands it over part by part.
    fn receive(&mut self, each: &mut dyn FnMut(FromGuest<'_>)) -> Result<Received, Broken>;

    /// The phases of the instance's start so far.
    fn timeline(&self, state: &VcpuState) -> Timeline;

    /// Nanoseconds since the guest was entered.
    fn up_ns(&self) -> u64;

    /// The guest's own counters, as it claims them.
    fn counters(&self) -> Vec<u64>;
}
