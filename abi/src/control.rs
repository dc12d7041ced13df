//! The control ring: console, stop requests, handlers, configuration, clock; both ways, without an exit a byte.
//!
//! Two byte streams in guest memory, each a ring of a power-of-two size with free-running 32-bit positions: byte `n`
//! of the stream lies at `n mod size`. The producer writes bytes, then publishes `produced`; the consumer reads,
//! then publishes `consumed`; `produced - consumed` (wrapping) is what waits, and never exceeds the size. On the
//! streams travel messages: a [`MessageHeader`] and `length` bytes. A message may be longer than the ring.
//!
//! A side that is about to sleep sets its `waits` word, looks at the positions once more, and sleeps. A side that
//! publishes looks at the other's `waits` after that: if it is not 0, it rings (guest: doorbell 0, monitor: the
//! guest's yield returns). On both sides a full fence lies between the store and the look (x86 passes loads ahead of
//! stores), so that one of the two always sees the other. A ring may be late or one too many, never missing. A `waits`
//! word stays as it is until its own side, awake again, sets it to 0.
//!
//! What the guest has published when the instance ends, by whatever end, is still taken: last words need no doorbell.

use crate::boot::Range;

/// Positions of one direction. The two positions have a cache line each, since both sides write all the time; the
/// two `waits` words share one, since they change only around a sleep. Each word has one writer: `produced` and
/// `producer_waits` the producer, `consumed` and `consumer_waits` the consumer.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct RingPositions {
    /// Bytes the producer has written, modulo 2^32.
    pub produced: u32,
    /// Not used.
    pub pad0: [u32; 15],
    /// Bytes the consumer has read, modulo 2^32.
    pub consumed: u32,
    /// Not used.
    pub pad1: [u32; 15],
    /// Not 0: the consumer sleeps until something is produced.
    pub consumer_waits: u32,
    /// Not 0: the producer sleeps until something is consumed.
    pub producer_waits: u32,
    /// Not used.
    pub pad2: [u32; 14],
}

/// Start of the control area; the rings' bytes lie where `to_guest` and `to_host` of [`ControlPage`] say. The
/// monitor keeps its own copy of the ranges and never reads them back.
#[repr(C)]
#[derive(Debug)]
pub struct ControlPage {
    /// Positions of monitor to guest.
    pub to_guest: RingPositions,
    /// Positions of guest to monitor.
    pub to_host: RingPositions,
    /// Bytes of monitor to guest.
    pub to_guest_bytes: Range,
    /// Bytes of guest to monitor.
    pub to_host_bytes: Range,
}

/// Size of each ring, bytes.
pub const RING_SIZE: u32 = 16384;
/// Longest payload of a message, bytes.
pub const MESSAGE_MAXIMUM: u32 = 4 << 20;

/// Ahead of every message.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageHeader {
    /// Bytes of payload that follow, at most [`MESSAGE_MAXIMUM`].
    pub length: u32,
    /// What it is: one of the constants below.
    pub kind: u16,
    /// For [`REPLY`]: one of the `STATUS_` constants. Else 0.
    pub status: u16,
    /// For requests: chosen by the monitor, repeated in the [`REPLY`]; 0 asks for no reply.
    pub id: u64,
}

impl MessageHeader {
    /// The header as it travels, little-endian.
    pub const fn emit(&self) -> [u8; 16] {
        let fields = self.length as u128
            | (self.kind as u128) << 32
            | (self.status as u128) << 48
            | (self.id as u128) << 64;
        fields.to_le_bytes()
    }

    /// What travelled.
    pub const fn parse(bytes: [u8; 16]) -> Self {
        let fields = u128::from_le_bytes(bytes);
        Self {
            length: fields as u32,
            kind: (fields >> 32) as u16,
            status: (fields >> 48) as u16,
            id: (fields >> 64) as u64,
        }
    }
}

/// To guest: bytes typed at the console.
pub const CONSOLE_INPUT: u16 = 1;
/// To guest: stop soon. Payload: grace period in milliseconds (`u32`), after which the guest is ended.
pub const STOP: u16 = 2;
/// To guest, a request: payload names a handler (`ELEMENT.HANDLER`); the reply carries its value.
pub const HANDLER_READ: u16 = 3;
/// To guest, a request: payload is a handler's name, a zero byte, and the value to write.
pub const HANDLER_WRITE: u16 = 4;
/// To guest, a request: payload is a new configuration to run from now on.
pub const CONFIGURE: u16 = 5;
/// To guest: the wall clock anew. Payload: time stamp counter (`u64`), nanoseconds since 1970 at it (`u64`).
pub const CLOCK: u16 = 6;
/// To guest, a request: the reply carries `NAME VALUE` lines.
pub const STATISTICS: u16 = 7;
/// To guest: the ranges of the [`FREE_RANGES`] with this `id` were discarded; they read as zeros and are the guest's again.
/// From version 1.1 on.
pub const RANGES_DISCARDED: u16 = 8;
/// To guest, if it is prepared: the boot page is complete, with the command line and the configuration. Comes once. No
/// payload. From version 1.2 on.
pub const ASSIGN: u16 = 9;
/// To host: bytes for the console.
pub const CONSOLE_OUTPUT: u16 = 0x81;
/// To host: answer to the request with the same `id`. Payload: the value, or why not.
pub const REPLY: u16 = 0x82;
/// To host: ranges of the heap that hold nothing, a `u64` address and a `u64` length each. Whoever sends this leaves them
/// alone until [`RANGES_DISCARDED`] has the same `id`. For monitors from version 1.1 on.
pub const FREE_RANGES: u16 = 0x83;

/// The request was done.
pub const STATUS_OK: u16 = 0;
/// The guest does not know this kind of request.
pub const STATUS_UNSUPPORTED: u16 = 1;
/// No such element or handler.
pub const STATUS_NOT_FOUND: u16 = 2;
/// There is such a handler, but not for this.
pub const STATUS_FORBIDDEN: u16 = 3;
/// The value or configuration was refused; the payload says why.
pub const STATUS_REFUSED: u16 = 4;

const _: () = assert!(size_of::<MessageHeader>() == 16);
const _: () = assert!(size_of::<RingPositions>() == 192);
