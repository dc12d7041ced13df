//! Capture of a port's packets: a bounded queue of copies from the data plane, written as pcapng (draft-ietf-opsawg-pcapng).

use crate::frame::{Batch, Frame};
use std::io::{self, Write};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Most packets that are queued for a slow reader; further ones are left out.
pub const QUEUE: usize = 4096;

/// The copy of a packet.
#[derive(Debug)]
pub struct CapturedPacket {
    /// Time of the capture, nanoseconds since 1970.
    pub time: u64,
    /// Whether the packet was received (or sent).
    pub inbound: bool,
    /// The first bytes of the packet.
    pub bytes: Vec<u8>,
    /// Length of the packet, bytes.
    pub length: usize,
}

/// The data plane's end of a capture.
#[derive(Clone, Debug)]
pub struct CaptureSink {
    to: SyncSender<CapturedPacket>,
    snap: usize,
}

impl CaptureSink {
    /// Creates a capture that sends copies of at most `snap` bytes to `to`, as long as there is room.
    pub fn new(to: SyncSender<CapturedPacket>, snap: usize) -> Self {
        Self { to, snap }
    }

    /// Captures a packet. Returns whether the reader is still connected.
    pub fn capture(&self, batch: &Batch, frame: &Frame, vlan: u16, inbound: bool) -> bool {
        let mut bytes = Vec::new();
        batch.copy_out(frame, vlan, &mut bytes);
        let length = bytes.len();
        bytes.truncate(self.snap);
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
        let sent = self.to.try_send(CapturedPacket { time, inbound, bytes, length });
        !matches!(sent, Err(TrySendError::Disconnected(_)))
    }
}

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const ETHERNET: u16 = 1;

fn block(to: &mut impl Write, kind: u32, body: &[u8]) -> io::Result<()> {
    let padding = body.len().next_multiple_of(4) - body.len();
    let length = (12 + body.len() + padding) as u32;
    to.write_all(&kind.to_le_bytes())?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(body)?;
    to.write_all(&[0; 3][..padding])?;
    to.write_all(&length.to_le_bytes())
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend(code.to_le_bytes());
    body.extend((value.len() as u16).to_le_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// Writes the head of a file: one section, one Ethernet interface with a name and times in nanoseconds.
pub fn begin(to: &mut impl Write, port: &str, snap: usize) -> io::Result<()> {
    let mut section = Vec::new();
    section.extend(0x1a2b_3c4du32.to_le_bytes());
    section.extend(1u16.to_le_bytes());
    section.extend(0u16.to_le_bytes());
    section.extend(u64::MAX.to_le_bytes());
    option(&mut section, 4, b"microvisor-switch");
    option(&mut section, 0, b"");
    block(to, SECTION, &section)?;
    let mut interface = Vec::new();
    interface.extend(ETHERNET.to_le_bytes());
    interface.extend(0u16.to_le_bytes());
    interface.extend((snap as u32).to_le_bytes());
    option(&mut interface, 2, port.as_bytes());
    option(&mut interface, 9, &[9]);
    option(&mut interface, 0, b"");
    block(to, INTERFACE, &interface)
}

/// Writes a packet.
pub fn packet(to: &mut impl Write, copy: &CapturedPacket) -> io::Result<()> {
    let mut body = Vec::with_capacity(copy.bytes.len() + 48);
    body.extend(0u32.to_le_bytes());
    body.extend(((copy.time >> 32) as u32).to_le_bytes());
    body.extend((copy.time as u32).to_le_bytes());
    body.extend((copy.bytes.len() as u32).to_le_bytes());
    body.extend((copy.length as u32).to_le_bytes());
    body.extend(&copy.bytes);
    body.resize(body.len().next_multiple_of(4), 0);
    let direction: u32 = if copy.inbound { 1 } else { 2 };
    option(&mut body, 2, &direction.to_le_bytes());
    option(&mut body, 0, b"");
    block(to, ENHANCED_PACKET, &body)
}
