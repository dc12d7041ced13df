//! From options to a guest that runs, in this order: the host is looked at; all that has a path is opened; privileges are
//! dropped; the machine is made; kernel and initial file system are read; every thread is confined; the first processor
//! enters the kernel. No byte that the guest's owner has written is read before privileges are dropped.
//!
//! Threads: this one makes everything and becomes the first vCPU; one for each further vCPU; the I/O thread; one for each
//! net device on a switch, which sleeps.

mod devices;
mod opened;

use crate::boot::Boot;
use crate::channel::GuestChannel;
use crate::cpu::cpuid::Template;
use crate::cpu::registers::Initial;
use crate::cpu::restart::{Machine, Restart};
use crate::cpu::thread::Vcpu;
use crate::layout::*;
use crate::memory::Memory;
use crate::options::Options;
use crate::platform::Shared;
use crate::virtio::block::Disk;
use crate::virtio::console::ConsoleBuffers;
use crate::virtio::transport::Service;
use devices::{Devices, Parts};
use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::{Kvm, VmFd};
use machine::confine::privileges;
use machine::confine::seccomp::{self, Extra};
use machine::ending::Ending;
use machine::error::Error;
use machine::host::ioctls::connect_interrupt;
use machine::io::{InstanceInfo, Io, IoParts, Port};
use machine::report::Reporter;
use machine::timeline::{Phase, Span, Timeline, Tsc};
use machine::vcpu::VcpuState;
use machine::vhost::managed::ManagedDevice;
use opened::Opened;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// How long a guest has to stop once its power button was pressed: it ends its services, and writes to its disks.
const GRACE: Duration = Duration::from_secs(20);

/// What a vCPU thread does beyond what every one does: it stops the others, takes part in a reset, and tells a
/// TAP what its device's driver can take.
const VCPU: Extra<'static> = Extra {
    ioctls: &[
        0x4090_ae82, // KVM_SET_REGS
        0x4138_ae84, // KVM_SET_SREGS
        0x41a0_ae8d, // KVM_SET_FPU
        0x4400_ae8f, // KVM_SET_LAPIC
        0x4008_ae89, // KVM_SET_MSRS
        0x4004_ae99, // KVM_SET_MP_STATE
        0x4040_aea0, // KVM_SET_VCPU_EVENTS
        0x4080_aea2, // KVM_SET_DEBUGREGS
        0x4188_aea7, // KVM_SET_XCRS
        0x8208_ae63, // KVM_SET_IRQCHIP
        0x4004_54d8, // TUNSETVNETHDRSZ
        0x4004_54dc, // TUNSETVNETLE
        0x4004_54d0, // TUNSETOFFLOAD
    ],
    calls: &[libc::SYS_lseek],
    signals: true,
};

/// What the I/O thread does beyond what every one does: it serves disks.
const IO: Extra<'static> = Extra {
    ioctls: &[],
    calls: &[libc::SYS_preadv, libc::SYS_pwritev, libc::SYS_fdatasync, libc::SYS_fallocate],
    signals: false,
};

/// A virtual machine without processors, whose interrupt controllers are the kernel's.
fn make_vm(kvm: &Kvm, memory: &Memory) -> Result<VmFd, Error> {
    let vm = kvm.create_vm().map_err(Error::kvm("make a virtual machine"))?;
    vm.set_identity_map_address(KVM_IDENTITY_MAP).map_err(Error::kvm("place KVM's pages"))?;
    vm.set_tss_address(KVM_TSS as usize).map_err(Error::kvm("place KVM's pages"))?;
    vm.create_irq_chip().map_err(Error::kvm("make the interrupt controllers"))?;
    add_memory_slots(&vm, memory)?;
    Ok(vm)
}

#[allow(unsafe_code)]
fn add_memory_slots(vm: &VmFd, memory: &Memory) -> Result<(), Error> {
    let slot = kvm_userspace_memory_region {
        memory_size: memory.length(),
        userspace_addr: memory.region.host_address(),
        ..Default::default()
    };
    // SAFETY: the region is mapped, and stays so until the process ends: who has the machine has the memory.
    unsafe { vm.set_user_memory_region(slot) }.map_err(Error::kvm("give the guest its memory"))
}

/// A file's name, for people.
fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Runs a guest to its end; the process's exit status. Errors: nothing was started.
pub fn run(o: &Options, begun: Tsc, reporter: Reporter) -> Result<u8, Error> {
    let begun = o.common.origin.unwrap_or(begun);
    let Opened { kvm, kernel, initrd, rng, back_ends, disks, listener, signals } = Opened::new(o)?;
    // Never dropped: this thread ends confined, and may not close a descriptor then.
    let kvm = ManuallyDrop::new(kvm);
    o.common.drop_privileges()?;
    let created = Tsc::now();
    let state = Arc::new(VcpuState::new()?);
    let memory = Memory::new(o.memory)?;
    let vm = make_vm(&kvm, &memory)?;
    let laid_out = Tsc::now();

    let lines = Arc::new(ConsoleBuffers::new(&state)?);
    let longest = disks.iter().map(Disk::length).max().unwrap_or(0);
    let parts = Parts { console: lines.clone(), rng, back_ends, disks };
    let Devices { slots, vhosts, driven } = Devices::new(o, parts, &memory, &state, &signals)?;
    for (number, slot) in slots.iter().enumerate() {
        slot.connect(&vm, number)?;
    }
    let count = slots.len();
    let shared = Arc::new(Shared::new(state.clone(), slots)?);
    for (event, pin) in [(&*shared.serial.interrupt, SERIAL_INTERRUPT), (&shared.button, BUTTON_INTERRUPT)] {
        connect_interrupt(&vm, event, pin)
            .map_err(|source| Error::System { doing: "connect an interrupt", source })?;
    }

    let name = o.name.clone().unwrap_or_else(|| file_name(&o.kernel));
    let command_line = o.command_line.clone();
    let boot = Boot { kernel, name: name.clone(), initrd, command_line, cpus: o.cpus, devices: count };
    let template = Template::new(&kvm)?;
    let vcpus = (0..o.cpus).map(|id| {
        let fd = vm.create_vcpu(id.into()).map_err(Error::kvm("make a virtual processor"))?;
        fd.set_cpuid2(&template.of(id, o.cpus)).map_err(Error::kvm("set CPUID"))?;
        let initial = Initial::of(&fd)?;
        Ok((fd, initial))
    });
    let vcpus = vcpus.collect::<Result<Vec<_>, Error>>()?;
    let khz = vcpus[0].0.get_tsc_khz().map_err(Error::kvm("ask for the time stamp counter's frequency"))?;
    let mut machine = Machine::new(vm, memory, boot)?;
    let entry = machine.load()?;
    let loaded = Tsc::now();

    let entered = Arc::new(AtomicU64::new(0));
    let stamps = [
        (Phase::Create, begun, created),
        (Phase::Memory, created, laid_out),
        (Phase::Load, laid_out, loaded),
    ];
    let spawn = spawn_phases(begun, u64::from(khz) * 1000, &stamps);
    let guest_channel = GuestChannel::new(shared.clone(), lines, spawn, entered.clone());
    let ports = shared.devices.iter().map(|slot| Box::new(Service(slot.clone())) as Box<dyn Port>);
    let io = Io::new(IoParts {
        state: state.clone(),
        signals,
        grace: GRACE,
        console: o.common.console,
        channel: guest_channel,
        taps: Vec::new(),
        vhosts,
        ports: ports.collect(),
        listener,
        reporter,
        info: InstanceInfo { image: name, memory: o.memory },
    })?;
    let restart = Arc::new(Restart::new(o.cpus, machine));
    let mut vcpus = vcpus.into_iter().zip(0..).map(|((fd, initial), id)| {
        initial.restore(&fd, (id == 0).then_some(entry))?;
        Ok(Vcpu { id, fd, initial, shared: shared.clone(), restart: restart.clone() })
    });
    let first = vcpus.next().ok_or_else(|| Error::Configuration("no processor".into()))??;
    let others = vcpus.collect::<Result<Vec<_>, Error>>()?;
    privileges::limit_files(longest)?;
    start_threads(first, others, io, driven, &entered)
}

/// Starts the other threads, confines all, and runs the guest; the process's exit status.
fn start_threads(
    first: Vcpu,
    others: Vec<Vcpu>,
    io: Io<GuestChannel>,
    driven: Vec<ManagedDevice>,
    entered: &AtomicU64,
) -> Result<u8, Error> {
    privileges::set_timer_slack();
    let (confined_to, confined) = channel();
    let count = others.len() + 1 + driven.len();
    for device in driven {
        device.start(confined_to.clone())?;
    }
    let to = confined_to.clone();
    let io = spawn("io", move || {
        let confined = seccomp::io(&IO).and_then(|filter| seccomp::enter(&filter));
        if report_confined(&to, confined) { io.run() } else { None }
    })?;
    let others = others.into_iter().map(|vcpu| {
        let to = confined_to.clone();
        spawn("vcpu", move || {
            // Never dropped: a confined thread may not close a descriptor.
            let mut vcpu = ManuallyDrop::new(vcpu);
            let confined = seccomp::vcpu(&VCPU).and_then(|filter| seccomp::enter(&filter));
            if report_confined(&to, confined) {
                vcpu.run();
            }
        })
    });
    let others = others.collect::<Result<Vec<_>, _>>()?;
    let gone = |_| Error::Host {
        problem: "a thread of the monitor has ended".into(),
        hint: "look at the kernel's log for a system call that was refused".into(),
    };
    for _ in 0..count {
        confined.recv().map_err(gone)??;
    }
    let state = first.shared.state.clone();
    let filter = seccomp::vcpu(&VCPU)?;
    let (mut first, others) = (ManuallyDrop::new(first), ManuallyDrop::new(others));
    seccomp::enter(&filter)?;
    entered.store(Tsc::now().0, Ordering::Release);
    first.run();
    let mut others = ManuallyDrop::into_inner(others);
    for other in others.drain(..) {
        let _ = other.join();
    }
    let ending = state.ending().unwrap_or(Ending::Killed);
    state.set_ended(ending.clone());
    let signal = io.join().unwrap_or_default();
    Ok(ending.status(signal))
}

/// Says whether this thread is confined, to the one that waits for it.
fn report_confined(to: &Sender<Result<(), Error>>, confined: Result<(), Error>) -> bool {
    let ok = confined.is_ok();
    // Without this thread's word nothing is started.
    to.send(confined).is_ok() && ok
}

fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<std::thread::JoinHandle<T>, Error> {
    let thread = std::thread::Builder::new().name(name.into()).spawn(work);
    thread.map_err(|source| Error::System { doing: "start a thread", source })
}

/// The monitor's phases on its timeline.
fn spawn_phases(begun: Tsc, tsc_hz: u64, phases: &[(Phase, Tsc, Tsc)]) -> Timeline {
    let mut timeline = Timeline::new(begun, tsc_hz);
    let inside: Vec<Span> = phases.iter().map(|&(p, start, end)| timeline.span(p, start, end)).collect();
    let end_ns = inside.last().map_or(0, |span| span.end_ns);
    timeline.spans.push(Span { phase: Phase::Spawn, start_ns: 0, end_ns, inside });
    timeline
}
