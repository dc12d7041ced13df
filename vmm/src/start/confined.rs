//! Last stage: all threads are confined, and the guest runs.

use super::loaded::Loaded;
use crate::cpu::vcpu::Vcpu;
use machine::confine::{privileges, seccomp};
use machine::ending::Ending;
use machine::error::Error;
use machine::memory::GuestPhys;
use machine::timeline::{Tsc, unix_ns};
use std::mem::ManuallyDrop;
use std::sync::atomic::Ordering;

/// A guest whose monitor can do nothing any more but run it. Never dropped: this thread may no longer close a
/// descriptor, and the process ends next; the kernel tidies faster.
pub struct Confined(ManuallyDrop<Loaded>);

impl Loaded {
    /// Confines this thread, when all others are. Errors come before the filter is in force, so that they can be
    /// reported.
    pub fn confine(self) -> Result<Confined, Error> {
        privileges::set_timer_slack();
        privileges::limit_files(0)?;
        self.made.threads.await_confinement()?;
        let loaded = ManuallyDrop::new(self);
        if let Err(e) = seccomp::enter(&loaded.made.filter) {
            drop(ManuallyDrop::into_inner(loaded));
            return Err(e);
        }
        Ok(Confined(loaded))
    }
}

impl Confined {
    /// Runs the guest to its end; the process's exit status.
    pub fn enter(mut self) -> Result<u8, Error> {
        let Loaded { made, memory, boot, entered, work, calls, preparation } = &mut *self.0;
        let now = Tsc::now();
        if preparation.is_none() {
            (boot.clock_unix_ns, boot.clock_tsc) = (unix_ns(), now.0);
        }
        memory.guest.write_value(GuestPhys(memory.layout.boot), boot)?;
        entered.store(now.0, Ordering::Release);
        // A thread that has ended is noticed when it is joined.
        if let Some(work) = work.take() {
            let _ = made.threads.io_to.send(work);
        }
        let mut vcpu = Vcpu {
            fd: &mut made.vcpu,
            vm: &made.vm,
            monitor_pages: &memory.monitor,
            state: &made.state,
            tsc_hz: made.tsc_hz,
            doorbells: 0,
            calls: calls.as_ref(),
            preparation: preparation.as_deref(),
        };
        let ending = vcpu.run();
        made.state.set_ended(ending);
        let signal = made.threads.io.take().and_then(|thread| thread.join().unwrap_or_default());
        Ok(made.state.ending().unwrap_or(Ending::Killed).status(signal))
    }
}
