//! Buffers that the device has filled and a connection keeps, so that nothing is copied until the program reads it.

use super::queue::Frame;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::ops::Range;

/// Buffers with the connections at the most; what comes beyond is copied.
const LOANS_MAXIMUM: usize = 32;

#[derive(Default)]
struct Buffers {
    /// Those that have come back.
    spare: Vec<Frame>,
    /// How many are with connections.
    on_loan: usize,
}

/// Buffers that take the place of those that were lent.
#[derive(Clone, Default)]
pub struct LoanPool(Rc<RefCell<Buffers>>);

impl LoanPool {
    /// A buffer of so many bytes for the device, in the place of one that is lent; `None`: there are too many of those, or
    /// the heap has no room.
    pub fn replacement(&self, length: usize) -> Option<Frame> {
        let mut buffers = self.0.borrow_mut();
        if buffers.on_loan >= LOANS_MAXIMUM {
            return None;
        }
        let room = buffers.spare.try_reserve(LOANS_MAXIMUM).is_ok();
        buffers
            .spare
            .pop()
            .filter(|frame| frame.capacity() == length)
            .or_else(|| Frame::new(length))
            .filter(|_| room)
    }

    /// Lends a buffer, of which these bytes count.
    pub fn lend(&self, frame: Frame, bytes: Range<usize>) -> LoanedBuffer {
        self.0.borrow_mut().on_loan += 1;
        LoanedBuffer { frame: Some(frame), bytes, lender: self.clone() }
    }
}

/// A buffer that was lent: it goes back when this is dropped.
pub struct LoanedBuffer {
    frame: Option<Frame>,
    bytes: Range<usize>,
    lender: LoanPool,
}

impl LoanedBuffer {
    /// The bytes that have not been read.
    pub fn bytes(&self) -> &[u8] {
        self.frame.as_ref().and_then(|frame| frame.bytes().get(self.bytes.clone())).unwrap_or_default()
    }

    /// The first were read.
    pub fn consume(&mut self, bytes: usize) {
        self.bytes.start += bytes.min(self.bytes.len());
    }
}

impl Drop for LoanedBuffer {
    fn drop(&mut self) {
        let mut buffers = self.lender.0.borrow_mut();
        buffers.on_loan -= 1;
        if let Some(frame) = self.frame.take()
            && buffers.spare.len() < LOANS_MAXIMUM
        {
            buffers.spare.push(frame);
        }
    }
}
