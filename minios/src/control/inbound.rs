//! Receiving a message. It may arrive in pieces, be of an unknown kind, or be too long for the heap.

use abi::control as message;
use abi::control::{MESSAGE_MAXIMUM, MessageHeader};
use alloc::vec::Vec;
use virtqueue::stream::Consumer;

const HEADER: usize = size_of::<MessageHeader>();

/// A message that is being received.
pub(super) struct Inbound {
    /// The header, of which `header_received` bytes have arrived.
    header: [u8; HEADER],
    header_received: usize,
    /// Payload that has not arrived yet, bytes.
    payload_left: usize,
    /// `None` if the kind is unknown or the heap has no room: then the payload is read and dropped.
    pub payload: Option<Vec<u8>>,
}

impl Inbound {
    pub const fn new() -> Self {
        Self { header: [0; HEADER], header_received: 0, payload_left: 0, payload: None }
    }

    pub fn fields(&self) -> MessageHeader {
        MessageHeader::parse(self.header)
    }

    /// Reads on; returns whether the message is complete. A monitor that breaks the ring's rules is read no further.
    pub fn advance(&mut self, ring: &mut Consumer) -> bool {
        if self.header_received < HEADER {
            self.header_received += ring.read(&mut self.header[self.header_received..]).unwrap_or(0);
            if self.header_received < HEADER {
                return false;
            }
            let fields = self.fields();
            self.payload_left = fields.length as usize;
            let mut payload = Vec::new();
            let known = matches!(
                fields.kind,
                message::CONSOLE_INPUT
                    | message::STOP
                    | message::HANDLER_READ
                    | message::HANDLER_WRITE
                    | message::CONFIGURE
                    | message::CLOCK
                    | message::STATISTICS
                    | message::RANGES_DISCARDED
            );
            let wanted = known && fields.length <= MESSAGE_MAXIMUM;
            self.payload =
                (wanted && payload.try_reserve_exact(self.payload_left).is_ok()).then_some(payload);
        }
        let mut chunk = [0; 512];
        while self.payload_left > 0 {
            let length = self.payload_left.min(chunk.len());
            let n = ring.read(&mut chunk[..length]).unwrap_or(0);
            if n == 0 {
                return false;
            }
            if let Some(payload) = &mut self.payload {
                payload.extend_from_slice(&chunk[..n]);
            }
            self.payload_left -= n;
        }
        self.header_received = 0;
        true
    }
}
