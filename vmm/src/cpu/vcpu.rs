//! The vCPU thread: runs the guest, sleeps when the guest yields, and reports how it ended.
#![allow(unsafe_code)]

use crate::memory_map::descriptor_tables::{FAULT_STACK_TOP, FAULT_STUBS};
use abi::layout::{DEVICE_PAGE, DOORBELL_PAGE, PAGE_SIZE};
use abi::registers::*;
use kvm_ioctls::{VcpuExit, VcpuFd, VmFd};
use machine::ending::{Ending, Fault, Registers, has_error_code, page_fault_text, vector_name};
use machine::error::Error;
use machine::eventfd::EventFd;
use machine::host::ioctls::connect_doorbell;
use machine::memory::{GuestPhys, Region};
use machine::timeline::Tsc;
use machine::vcpu::{Calls, Unhandled, VcpuState, sleep, unhandled};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::Duration;

/// Exits for the control doorbell until an ioeventfd replaces them. An ioeventfd adds 14 ms to the teardown of a virtual
/// machine, so it is worth that only for a guest that rings often.
const EXITING_DOORBELLS: u32 = 8;

/// State of a prepared guest that the vCPU thread and the I/O thread share.
pub struct Preparation {
    /// Signals the I/O thread: the guest has yielded, and waits for its assignment.
    pub waits: EventFd,
    /// Whether the guest was assigned.
    pub assigned: AtomicBool,
}

impl Preparation {
    /// A guest that does not wait yet. Errors: no eventfd can be made.
    pub fn new() -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self { waits: EventFd::new()?, assigned: AtomicBool::new(false) }))
    }

    fn is_assigned(&self) -> bool {
        self.assigned.load(Ordering::Acquire)
    }
}

/// The virtual processor, ready to enter.
pub struct Vcpu<'a> {
    /// KVM's descriptor of it.
    pub fd: &'a mut VcpuFd,
    /// KVM's descriptor of its virtual machine.
    pub vm: &'a VmFd,
    /// The monitor's pages, with the fault stack.
    pub monitor_pages: &'a Region,
    /// State that the I/O thread reads.
    pub state: &'a VcpuState,
    /// Frequency of the time stamp counter, Hz.
    pub tsc_hz: u64,
    /// Exits for the control doorbell so far.
    pub doorbells: u32,
    /// Call eventfds of vhost-user back ends, if there are any.
    pub calls: Option<&'a Calls>,
    /// State of a prepared guest; `None` for others.
    pub preparation: Option<&'a Preparation>,
}

/// The reason of a guest exit.
enum Exit {
    Interrupted,
    Yield(u64),
    ControlDoorbell,
    Ready,
    End(Ending),
}

impl Vcpu<'_> {
    /// Runs the guest to its end.
    pub fn run(&mut self) -> Ending {
        // SAFETY: whoever runs a vCPU leaks it afterwards: `kvm_run` is mapped until the process ends.
        unsafe { self.state.attach(&raw mut self.fd.get_kvm_run().immediate_exit) };
        loop {
            if self.state.is_killed() {
                return self.state.ending().unwrap_or(Ending::Killed);
            }
            if self.state.is_paused() {
                self.state.wait_while_paused();
                continue;
            }
            match self.step() {
                Exit::Interrupted => {}
                Exit::Yield(deadline) => {
                    if let Some(preparation) = self.preparation.filter(|p| !p.is_assigned()) {
                        preparation.waits.signal();
                    }
                    self.sleep(deadline);
                }
                Exit::ControlDoorbell => self.ring_control(),
                Exit::Ready if self.preparation.is_some_and(|p| !p.is_assigned()) => {
                    return self.fault("said that it is ready before it was told who it is".into());
                }
                Exit::Ready => self.state.set_ready(),
                Exit::End(ending) => return ending,
            }
        }
    }

    fn step(&mut self) -> Exit {
        let what = match self.fd.run() {
            Ok(VcpuExit::MmioWrite(address, data)) => match store(address, data) {
                Store::Register(exit) => return exit,
                Store::Fault(vector) => return Exit::End(self.processor_fault(vector)),
                Store::Wrong(what) => what,
            },
            Ok(VcpuExit::MmioRead(address, data)) => {
                format!("load of {} bytes from {address:#x}, which cannot be read", data.len())
            }
            Ok(VcpuExit::Hlt) => "halted the processor".into(),
            Ok(VcpuExit::IoIn(port, _) | VcpuExit::IoOut(port, _)) => format!("I/O to port {port:#x}"),
            Ok(VcpuExit::Hypercall(_)) => "made a hypercall".into(),
            other => match unhandled(other) {
                Unhandled::Interrupted => return self.interrupted(),
                Unhandled::Fault(what) => what,
                Unhandled::End(ending) => return Exit::End(ending),
            },
        };
        Exit::End(self.fault(what))
    }

    /// Another thread interrupted the guest: the state is checked next.
    fn interrupted(&mut self) -> Exit {
        self.fd.set_kvm_immediate_exit(0);
        // The other thread changes the state first, and sets the flag then: no change is missed between the two.
        fence(Ordering::SeqCst);
        Exit::Interrupted
    }

    fn ring_control(&mut self) {
        self.state.doorbell.signal();
        self.doorbells += 1;
        if self.doorbells == EXITING_DOORBELLS {
            // On failure every ring goes on as an exit, which is slower and no worse.
            let _ = connect_doorbell(self.vm, doorbell(DOORBELL_CONTROL), &self.state.doorbell);
        }
    }

    fn sleep(&self, deadline: u64) {
        let timeout = (deadline != YIELD_FOREVER)
            .then(|| Duration::from_nanos(Tsc(deadline).since(Tsc::now(), self.tsc_hz)));
        sleep(self.state, self.calls, timeout);
    }

    fn registers(&self) -> Option<Registers> {
        self.fd.get_regs().ok().map(Registers::from)
    }

    fn fault(&self, what: String) -> Ending {
        Ending::Fault(Box::new(Fault { what, registers: self.registers(), ..Default::default() }))
    }

    /// A stub of a fault gate wrote to its register: the exception frame is on the fault stack.
    fn processor_fault(&self, vector: u8) -> Ending {
        let mut registers = self.registers().unwrap_or_default();
        if !FAULT_STUBS.contains(&registers.rip) {
            return self.fault("store to a fault register".into());
        }
        let frame = |word: u64| {
            self.monitor_pages.read_value::<u64>(GuestPhys(FAULT_STACK_TOP - 8 * word)).unwrap_or_default()
        };
        (registers.rsp, registers.rflags, registers.rip) = (frame(2), frame(3), frame(5));
        let error_code = has_error_code(vector).then(|| frame(6));
        let address = (vector == 14).then(|| self.fd.get_sregs().map_or(0, |s| s.cr2));
        let what = match (address, error_code) {
            (Some(address), Some(error)) => page_fault_text(error, address),
            _ => vector_name(vector).into(),
        };
        let registers = Some(registers);
        Ending::Fault(Box::new(Fault { what, vector: Some(vector), error_code, address, registers }))
    }
}

/// The meaning of a write to an unmapped address.
enum Store {
    Register(Exit),
    Fault(u8),
    Wrong(String),
}

fn store(address: u64, data: &[u8]) -> Store {
    let faults = FAULT..FAULT + FAULT_STRIDE * FAULT_VECTORS;
    match (address, data.len()) {
        (YIELD, 8) => Store::Register(Exit::Yield(u64::from_le_bytes(data.try_into().expect("eight bytes")))),
        (READY, 4) => Store::Register(Exit::Ready),
        (EXIT, 4) => {
            let code = u32::from_le_bytes(data.try_into().expect("four bytes"));
            Store::Register(Exit::End(Ending::Exit { code }))
        }
        (a, 4) if a == doorbell(DOORBELL_CONTROL) => Store::Register(Exit::ControlDoorbell),
        (a, 4) if faults.contains(&a) && (a - FAULT).is_multiple_of(FAULT_STRIDE) => {
            Store::Fault(((a - FAULT) / FAULT_STRIDE) as u8)
        }
        (a, n) if (DEVICE_PAGE..DEVICE_PAGE + PAGE_SIZE).contains(&a) => {
            Store::Wrong(format!("store of {n} bytes to {a:#x}: no register of the device page takes it"))
        }
        (a, n) if (DOORBELL_PAGE..DOORBELL_PAGE + PAGE_SIZE).contains(&a) => {
            Store::Wrong(format!("store of {n} bytes to {a:#x}: no doorbell of this instance takes it"))
        }
        (a, n) => Store::Wrong(format!("store of {n} bytes to {a:#x}, where nothing is")),
    }
}
