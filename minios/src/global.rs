//! Global state of a machine with one processor.
#![allow(unsafe_code)]

use core::cell::RefCell;

/// A `RefCell` that may be a static. A guest has one processor and no interrupts, so nothing else runs meanwhile.
pub struct Global<T>(RefCell<T>);

// SAFETY: guests have one vCPU and no interrupts or signals (`abi`): no second thread of execution exists. On the
// host, where unit tests have threads, no test touches a global.
unsafe impl<T> Sync for Global<T> {}

impl<T> Global<T> {
    pub const fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }

    /// Calls `work` with the value. Nested use of the same global is a bug in this crate, and panics.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.0.borrow_mut())
    }

    /// Calls `work` with the value unless it is in use: for the panic handler, which may run at any point.
    pub fn try_with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.0.try_borrow_mut().ok().map(|mut value| work(&mut value))
    }
}
