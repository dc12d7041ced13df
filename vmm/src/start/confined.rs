//! Last stage: all threads are confined, then the guest runs.

use super::loaded::Loaded;
use crate::cpu::vcpu::Vcpu;
use machine::confine::{privileges, seccomp};
use machine::ending::Ending;
use machine::error::Error;
use machine::memory::GuestPhys;
use machine::timeline::{Tsc, unix_ns};
use std::mem::ManuallyDrop;
use std::sync::atomic::Ordering;

/// A guest whose monitor may only run it. It is never dropped: the filter forbids this thread to close descriptors, and the
/// process ends next, where the kernel releases everything faster.
pub struct Confined(ManuallyDrop<Loaded>);

impl Loaded {
    /// Confines this thread after all others. Errors occur before the filter is installed, so that they can be reported.
    pub fn confine(self) -> Result<Confined, Error> {
        privileges::set_timer_slack();
        privileges::limit_files(0)?;
        self.created.threads.await_confinement()?;
        let loaded = ManuallyDrop::new(self);
        if let Err(e) = seccomp::enter(&loaded.created.filter) {
            drop(ManuallyDrop::into_inner(loaded));
            return Err(e);
        }
        Ok(Confined(loaded))
    }
}

impl Confined {
    /// Runs the guest until it ends. Returns the exit status of the process.
    pub fn enter(mut self) -> Result<u8, Error> {
        let Loaded { created, memory, boot, entered, work, calls, preparation } = &mut *self.0;
        let now = Tsc::now();
        if preparation.is_none() {
            (boot.clock_unix_ns, boot.clock_tsc) = (unix_ns(), now.0);
        }
        memory.guest.write_value(GuestPhys(memory.layout.boot), boot)?;
        entered.store(now.0, Ordering::Release);
        // A thread that has ended is noticed when it is joined.
        if let Some(work) = work.take() {
            let _ = created.threads.io_to.send(work);
        }
        let mut vcpu = Vcpu {
            fd: &mut created.vcpu,
            vm: &created.vm,
            monitor_pages: &memory.monitor,
            state: &created.state,
            tsc_hz: created.tsc_hz,
            doorbells: 0,
            calls: calls.as_ref(),
            preparation: preparation.as_deref(),
        };
        let ending = vcpu.run();
        created.state.set_ended(ending);
        let signal = created.threads.io.take().and_then(|thread| thread.join().unwrap_or_default());
        Ok(created.state.ending().unwrap_or(Ending::Killed).status(signal))
    }
}
