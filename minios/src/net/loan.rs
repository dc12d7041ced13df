//! Receive buffers on loan to connections, so that their bytes are not copied before the program reads them.

use super::queue::Frame;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::ops::Range;

/// Most buffers on loan; further segments are copied.
const LOANS_MAXIMUM: usize = 32;

#[derive(Default)]
struct Buffers {
    /// Returned buffers.
    spare: Vec<Frame>,
    /// Number of buffers on loan.
    on_loan: usize,
}

/// Lends buffers, and provides replacements for the device.
#[derive(Clone, Default)]
pub struct LoanPool(Rc<RefCell<Buffers>>);

impl LoanPool {
    /// A buffer of `length` bytes for the device, to replace one on loan; `None` if too many are on loan or the heap is full.
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

    /// Lends a buffer; `bytes` is the range of its data.
    pub fn lend(&self, frame: Frame, bytes: Range<usize>) -> LoanedBuffer {
        self.0.borrow_mut().on_loan += 1;
        LoanedBuffer { frame: Some(frame), bytes, lender: self.clone() }
    }
}

/// A buffer on loan; dropping this returns it.
pub struct LoanedBuffer {
    frame: Option<Frame>,
    bytes: Range<usize>,
    lender: LoanPool,
}

impl LoanedBuffer {
    /// The unread bytes.
    pub fn bytes(&self) -> &[u8] {
        self.frame.as_ref().and_then(|frame| frame.bytes().get(self.bytes.clone())).unwrap_or_default()
    }

    /// Removes the first `bytes` bytes, which were read.
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
