//! Third stage: creates an empty virtual machine, and an I/O thread that confines itself and waits for its work.

use super::opened::{Opened, Unprivileged};
use super::prepared::Waiting;
use crate::channel::GuestChannel;
use crate::cpu::processor::Processor;
use kvm_bindings::{KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_FIX_HYPERCALL_INSN, kvm_enable_cap};
use kvm_ioctls::{VcpuFd, VmFd};
use libc::c_long;
use machine::confine::seccomp::{self, Extra};
use machine::error::Error;
use machine::io::Io;
use machine::vcpu::VcpuState;
use machine::vhost::thread::DeviceThread;
use seccompiler::BpfProgram;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

/// A virtual machine without a guest.
pub struct Created {
    pub(super) opened: Opened,
    pub(super) vm: VmFd,
    pub(super) vcpu: VcpuFd,
    pub(super) processor: Processor,
    /// Frequency of the time stamp counter, Hz.
    pub(super) tsc_hz: u64,
    /// System calls that the vCPU thread may use.
    pub(super) filter: BpfProgram,
    pub(super) state: Arc<VcpuState>,
    pub(super) threads: Threads,
}

/// The work of the I/O thread. It returns the signal that ended it, if one did.
pub enum Work {
    /// Serves an instance.
    Serve(Box<Io<GuestChannel>>),
    /// Waits until a prepared guest is assigned, then serves it.
    Await(Box<Waiting>),
}

/// The other threads.
pub struct Threads {
    /// The I/O thread; it returns the signal that ended it, if one did.
    pub(super) io: Option<JoinHandle<Option<i32>>>,
    /// Passes the I/O thread its work.
    pub(super) io_to: Sender<Work>,
    /// Each thread reports here that it is confined.
    confined_to: Sender<Result<(), Error>>,
    confined: Receiver<Result<(), Error>>,
    /// Number of threads that report.
    count: usize,
    /// Threads for vhost-user devices that have no device yet.
    device_threads: Vec<DeviceThread>,
}

impl Threads {
    fn start(devices: usize, calls: &'static [c_long]) -> Result<Self, Error> {
        let (io_to, io_from) = channel::<Work>();
        let (confined_to, confined) = channel();
        let word = confined_to.clone();
        let work = move || {
            let entered =
                seccomp::io(&Extra { calls, ..Extra::default() }).and_then(|filter| seccomp::enter(&filter));
            let ok = entered.is_ok();
            // Without this thread's word the other starts nothing.
            let _ = word.send(entered);
            match io_from.recv() {
                Ok(Work::Serve(io)) if ok => io.run(),
                Ok(Work::Await(waiting)) if ok => waiting.run(),
                _ => None,
            }
        };
        let io = std::thread::Builder::new().name("io".into()).spawn(work);
        let io = io.map(Some).map_err(|source| Error::System { doing: "start a thread", source })?;
        let mut threads = Self { io, io_to, confined_to, confined, count: 1, device_threads: Vec::new() };
        for _ in 0..devices {
            let keeper = threads.start_device_thread()?;
            threads.device_threads.push(keeper);
        }
        Ok(threads)
    }

    fn start_device_thread(&mut self) -> Result<DeviceThread, Error> {
        self.count += 1;
        DeviceThread::start(self.confined_to.clone())
    }

    /// Takes a thread for a vhost-user device.
    pub(super) fn take_device_thread(&mut self) -> Result<DeviceThread, Error> {
        self.device_threads.pop().map_or_else(|| self.start_device_thread(), Ok)
    }

    /// Waits until all threads are confined.
    pub(super) fn await_confinement(&self) -> Result<(), Error> {
        let gone = |_| Error::Host {
            problem: "a thread of the monitor has ended".into(),
            hint: "look at the kernel's log for a system call that was refused".into(),
        };
        for _ in 0..self.count {
            self.confined.recv().map_err(gone)??;
        }
        Ok(())
    }
}

impl Created {
    /// Creates the virtual machine while the other threads confine themselves: one for I/O, and one for each vhost-user device.
    /// `calls` are the system calls that the I/O thread may use in addition to its usual ones.
    pub fn new(
        Unprivileged(opened): Unprivileged,
        devices: usize,
        calls: &'static [c_long],
    ) -> Result<Self, Error> {
        let state = Arc::new(VcpuState::new()?);
        let threads = Threads::start(devices, calls)?;
        let processor = Processor::host();
        let vm = opened.kvm.create_vm().map_err(Error::kvm("make a virtual machine"))?;
        keep_hypercalls_as_they_are(&vm);
        let vcpu = vm.create_vcpu(0).map_err(Error::kvm("make a virtual processor"))?;
        processor.prepare(&vcpu)?;
        let khz = vcpu.get_tsc_khz().map_err(Error::kvm("ask for the time stamp counter's frequency"))?;
        let (tsc_hz, filter) = (u64::from(khz) * 1000, seccomp::vcpu(&Extra::default())?);
        Ok(Self { opened, vm, vcpu, processor, tsc_hz, filter, state, threads })
    }
}

/// Disables the quirk by which KVM replaces a hypercall instruction by the other vendor's: it would write to text that all
/// instances share.
fn keep_hypercalls_as_they_are(vm: &VmFd) {
    let capability = kvm_enable_cap {
        cap: KVM_CAP_DISABLE_QUIRKS2,
        args: [KVM_X86_QUIRK_FIX_HYPERCALL_INSN.into(), 0, 0, 0],
        ..Default::default()
    };
    // An older host has no such switch. There the write fails for want of permission in the guest's page tables.
    let _ = vm.enable_cap(&capability);
}
