//! MicroVisor's own registers, for programs in the guest: a page of memory-mapped 32-bit registers at
//! [`crate::layout::REGISTERS`]. A program writes them through `/dev/mem`; busybox's `devmem` does it in one line.
//!
//! | offset | written | read |
//! |---|---|---|
//! | 0 | [`MARK_INIT`] when init begins, [`MARK_READY`] when the guest can do its job | the last mark |
//! | 4 | exit status of the instance, 0 to 119, once it is powered off | that status |

use crate::layout::{PAGE, REGISTERS};
use machine::status::GUEST_MAXIMUM;
use machine::timeline::Tsc;
use machine::vcpu::VcpuState;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Value for: init begins.
pub const MARK_INIT: u32 = 1;
/// Value for: the guest is ready.
pub const MARK_READY: u32 = 2;

/// The registers.
#[derive(Default)]
pub struct Registers {
    mark: AtomicU32,
    /// Time stamp counter when init began; 0 before.
    init: AtomicU64,
    status: AtomicU32,
}

impl Registers {
    /// Offset of an address in the page.
    pub fn offset(address: u64) -> Option<u64> {
        address.checked_sub(REGISTERS).filter(|&offset| offset < PAGE)
    }

    /// Writes a register. An offset without a register ignores the write.
    pub fn write(&self, offset: u64, value: u32, state: &VcpuState) {
        match (offset, value) {
            (0, MARK_INIT) => {
                state.expect_ready_message();
                // The first counts: after a reset the instance is as ready as it was.
                let now = Tsc::now().0;
                let _ = self.init.compare_exchange(0, now, Ordering::AcqRel, Ordering::Acquire);
                self.mark.store(value, Ordering::Release);
            }
            (0, MARK_READY) => {
                self.mark.store(value, Ordering::Release);
                if state.ready().is_none() {
                    state.set_ready();
                }
            }
            (4, status) => self.status.store(status.min(GUEST_MAXIMUM.into()), Ordering::Release),
            _ => {}
        }
    }

    /// Reads a register.
    pub fn read(&self, offset: u64) -> u32 {
        match offset {
            0 => self.mark.load(Ordering::Acquire),
            4 => self.status.load(Ordering::Acquire),
            _ => 0,
        }
    }

    /// Time stamp counter when init began; `None` before.
    pub fn init(&self) -> Option<Tsc> {
        Some(Tsc(self.init.load(Ordering::Acquire))).filter(|stamp| stamp.0 != 0)
    }

    /// Exit status of the guest.
    pub fn status(&self) -> u32 {
        self.status.load(Ordering::Acquire)
    }
}
