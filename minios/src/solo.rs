//! Global state of a machine with one processor.
#![allow(unsafe_code)]

use core::cell::RefCell;

/// A `RefCell` that may be a static. A guest has one processor and no interrupts, so nothing else runs meanwhile.
pub struct Solo<T>(RefCell<T>);

// SAFETY: guests have one vCPU and no interrupts or signals (`abi`): no second thread of execution exists. On the
// host, where unit tests have threads, no test touches a global.
unsafe impl<T> Sync for Solo<T> {}

impl<T> Solo<T> {
    pub const fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }

    /// Works on the value. Nested use of the same global is a mistake in this crate, and panics.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.0.borrow_mut())
    }

    /// Works on the value unless it is in use already: for the panic report, which may come from anywhere.
    pub fn try_with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.0.try_borrow_mut().ok().map(|mut value| work(&mut value))
    }
}
