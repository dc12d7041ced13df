//! A message on its way in: it may come in pieces, be of an unknown kind, or be longer than the heap has room for.

use crate::ring::Consumer;
use abi::control as message;
use abi::control::{MESSAGE_MAXIMUM, MessageHeader};
use alloc::vec::Vec;

const HEADER: usize = size_of::<MessageHeader>();

/// A message that is being received.
pub(super) struct Inbound {
    header: [u8; HEADER],
    have: usize,
    left: usize,
    /// `None`: of no use, or too long for the heap; its bytes are skipped.
    pub payload: Option<Vec<u8>>,
}

impl Inbound {
    pub const fn new() -> Self {
        Self { header: [0; HEADER], have: 0, left: 0, payload: None }
    }

    pub fn fields(&self) -> MessageHeader {
        let h = &self.header;
        MessageHeader {
            length: u32::from_le_bytes([h[0], h[1], h[2], h[3]]),
            kind: u16::from_le_bytes([h[4], h[5]]),
            status: u16::from_le_bytes([h[6], h[7]]),
            id: u64::from_le_bytes([h[8], h[9], h[10], h[11], h[12], h[13], h[14], h[15]]),
        }
    }

    /// Goes on with the message; whether it is complete. What is left of it stays in the ring until it comes.
    pub fn advance(&mut self, ring: &mut Consumer) -> bool {
        if self.have < HEADER {
            self.have += ring.read(&mut self.header[self.have..]);
            if self.have < HEADER {
                return false;
            }
            let fields = self.fields();
            self.left = fields.length as usize;
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
            );
            let wanted = known && fields.length <= MESSAGE_MAXIMUM;
            self.payload = (wanted && payload.try_reserve_exact(self.left).is_ok()).then_some(payload);
        }
        let mut chunk = [0; 512];
        while self.left > 0 {
            let length = self.left.min(chunk.len());
            let n = ring.read(&mut chunk[..length]);
            if n == 0 {
                return false;
            }
            if let Some(payload) = &mut self.payload {
                payload.extend_from_slice(&chunk[..n]);
            }
            self.left -= n;
        }
        self.have = 0;
        true
    }
}
