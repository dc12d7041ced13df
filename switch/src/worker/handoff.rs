//! Handoff of packets from one thread to another that has the port where they leave: bounded queues without locks, one
//! for each pair of threads and direction. A packet is copied in, and its buffer goes back to be used again.

use super::wake;
use crate::forward::fdb::SegmentId;
use crate::frame::{Batch, Frame};
use crate::headers::Mac;
use crate::offload::Offload;
use crate::port::PortId;
use rtrb::{Consumer, Producer, RingBuffer};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// Capacity of a queue, handoffs.
const QUEUE: usize = 512;

/// What a handoff is.
#[derive(Debug)]
pub enum HandoffKind {
    /// A packet to be sent.
    Packet {
        /// The port where it leaves.
        to: PortId,
        /// VLAN to tag it with; 0 for none.
        vlan: u16,
        /// The tag that it came with, whose priority it keeps; 0 if none.
        tag: u16,
    },
    /// An announced address, by its name, is wanted; its packet, if there are bytes.
    Wanted(Arc<str>),
    /// An address was learned, or is still in use.
    Learned(SegmentId, Mac, PortId),
    /// A port is down: what was learned at it is forgotten.
    Forgotten(PortId),
}

/// A packet, or a message without one.
#[derive(Debug)]
pub struct Handoff {
    /// What it is for.
    pub kind: HandoffKind,
    /// A packet's bytes, without tag.
    pub bytes: Vec<u8>,
    /// What is left to do to it.
    pub offload: Offload,
}

/// The sending end.
pub struct Outbox {
    handoffs: Producer<Handoff>,
    empties: Consumer<Vec<u8>>,
    /// Whether the other thread sleeps.
    sleeping: Arc<AtomicBool>,
    wakeup: OwnedFd,
    /// Whether something was put in since the other thread was last told.
    has_unsent: bool,
}

/// The receiving end.
pub struct Inbox {
    /// What has come.
    pub handoffs: Consumer<Handoff>,
    empties: Producer<Vec<u8>>,
}

/// A queue to a thread that sleeps when `sleeping` says so and is woken by `wakeup`.
pub fn queue(sleeping: Arc<AtomicBool>, wakeup: OwnedFd) -> (Outbox, Inbox) {
    let (handoffs_in, handoffs_out) = RingBuffer::new(QUEUE);
    let (empties_in, empties_out) = RingBuffer::new(QUEUE);
    let outbox = Outbox { handoffs: handoffs_in, empties: empties_out, sleeping, wakeup, has_unsent: false };
    (outbox, Inbox { handoffs: handoffs_out, empties: empties_in })
}

impl Outbox {
    /// Sends a frame across; `false` if the queue is full.
    pub fn packet(&mut self, batch: &Batch, frame: &Frame, to: PortId, vlan: u16) -> bool {
        if self.handoffs.is_full() {
            return false;
        }
        let mut bytes = self.empties.pop().unwrap_or_default();
        bytes.clear();
        batch.copy_out(frame, 0, &mut bytes);
        let kind = HandoffKind::Packet { to, vlan, tag: frame.tag };
        self.put(Handoff { kind, bytes, offload: frame.offload })
    }

    /// Sends anything across; `false` if the queue is full.
    pub fn put(&mut self, handoff: Handoff) -> bool {
        self.has_unsent = true;
        self.handoffs.push(handoff).is_ok()
    }

    /// Sends a message without a packet. Of an overload some are lost; what matters is sent again.
    pub fn send_message(&mut self, kind: HandoffKind) {
        self.put(Handoff { kind, bytes: Vec::new(), offload: Offload::default() });
    }

    /// Wakes the other thread if it sleeps and there is something for it.
    pub fn flush(&mut self) {
        if std::mem::take(&mut self.has_unsent) {
            fence(Ordering::SeqCst);
            if self.sleeping.load(Ordering::Relaxed) {
                // The eventfd is ours and does not block.
                let _ = wake::signal(&self.wakeup);
            }
        }
    }
}

impl Inbox {
    /// Gives a buffer back.
    pub fn recycle(&mut self, bytes: Vec<u8>) {
        // One too many is freed.
        let _ = self.empties.push(bytes);
    }
}
