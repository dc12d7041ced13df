//! A vCPU thread: runs its processor, serves what the processor leaves the guest for, takes part in resets, and ends
//! with the others.
#![allow(unsafe_code)]

use super::registers::Initial;
use super::restart::Restart;
use crate::platform::{Event, Shared};
use kvm_ioctls::{VcpuExit, VcpuFd};
use machine::ending::{Ending, Fault, Registers};
use machine::vcpu::{Unhandled, unhandled};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

/// A virtual processor, ready to run.
pub struct Vcpu {
    /// Its number; the first is 0.
    pub id: u8,
    /// KVM's descriptor of it.
    pub fd: VcpuFd,
    /// What is in it after a reset.
    pub initial: Initial,
    /// The machine.
    pub shared: Arc<Shared>,
    /// How the processors start anew together.
    pub restart: Arc<Restart>,
}

impl Vcpu {
    /// Runs to the guest's end, which is in the state then.
    pub fn run(&mut self) {
        // SAFETY: whoever runs a vCPU leaks it afterwards: `kvm_run` is mapped until the process ends.
        unsafe { self.shared.state.attach(&raw mut self.fd.get_kvm_run().immediate_exit) };
        while !self.shared.state.is_killed() {
            if self.shared.state.is_paused() {
                self.shared.state.wait_while_paused();
            } else if self.restart.is_requested() {
                self.restart();
            } else if let Some(ending) = self.step() {
                self.shared.state.end(ending);
            }
        }
    }

    /// Runs until the guest leaves; how it has ended, if it has.
    fn step(&mut self) -> Option<Ending> {
        let what = match self.fd.run() {
            Ok(VcpuExit::IoOut(port, data)) => match self.shared.port_write(port, data) {
                Event::None => return None,
                Event::Off => return Some(self.shared.exit()),
                Event::Reset => {
                    self.restart.request();
                    self.shared.state.interrupt();
                    return None;
                }
            },
            Ok(VcpuExit::IoIn(port, data)) => {
                self.shared.port_read(port, data);
                return None;
            }
            Ok(VcpuExit::MmioWrite(address, data)) => {
                self.shared.write(address, data);
                return None;
            }
            Ok(VcpuExit::MmioRead(address, data)) => {
                self.shared.read(address, data);
                return None;
            }
            other => match unhandled(other) {
                Unhandled::Interrupted => return self.interrupted(),
                Unhandled::Fault(what) => what,
                Unhandled::End(ending) => return Some(ending),
            },
        };
        let what = format!("processor {}: {what}", self.id);
        let registers = self.fd.get_regs().ok().map(Registers::from);
        Some(Ending::Fault(Box::new(Fault { what, registers, ..Default::default() })))
    }

    /// Another thread had this one leave the guest: the state is looked at next.
    fn interrupted(&mut self) -> Option<Ending> {
        self.fd.set_kvm_immediate_exit(0);
        // The other thread changes the state first, and sets the flag then: no change is missed between the two.
        fence(Ordering::SeqCst);
        None
    }

    /// Starts anew with the other processors.
    fn restart(&mut self) {
        // What the processor has left the guest for is over first: KVM would finish it in the new guest.
        self.fd.set_kvm_immediate_exit(1);
        let _ = self.fd.run();
        self.fd.set_kvm_immediate_exit(0);
        fence(Ordering::SeqCst);
        let outcome = match self.restart.join(self.id, &self.shared) {
            Ok(Some(entry)) => self.initial.restore(&self.fd, (self.id == 0).then_some(entry)),
            Ok(None) => return,
            Err(e) => Err(e),
        };
        if let Err(e) = outcome {
            self.shared.state.end(Ending::Monitor { message: format!("cannot reset the guest: {e}") });
        }
    }
}
