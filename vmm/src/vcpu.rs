//! The vCPU thread: runs the guest, sleeps when it yields, and tells how it ended.
#![allow(unsafe_code)]

use crate::clock::Tsc;
use crate::error::Error;
use crate::fault::{Ending, Fault, Registers, has_error_code, page_fault_words, vector_name};
use crate::ioctls::connect_doorbell;
use crate::memory::{GuestPhys, Region};
use crate::paging::{FAULT_STACK_TOP, FAULT_STUBS};
use crate::signals;
use abi::layout::{DEVICE_PAGE, DOORBELL_PAGE, PAGE_SIZE};
use abi::registers::*;
use kvm_ioctls::{VcpuExit, VcpuFd, VmFd};
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64, Ordering, fence};
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};
use vmm_sys_util::eventfd::{EFD_CLOEXEC, EFD_NONBLOCK, EventFd};

/// The control doorbell exits to this thread until it has rung this often; only then is an ioeventfd worth the
/// 14 ms that it adds to the end of a virtual machine's life.
const RINGS_BY_EXIT: u32 = 8;

/// What the two threads of a monitor share.
pub struct Shared {
    /// To the vCPU thread: a source that a yield waits for was signalled.
    pub wake: EventFd,
    /// To the I/O thread: ready, or ended.
    pub news: EventFd,
    /// To the I/O thread: the control ring's doorbell.
    pub control: EventFd,
    ready: AtomicU64,
    kill: AtomicBool,
    paused: AtomicBool,
    thread: AtomicI32,
    immediate_exit: AtomicPtr<u8>,
    ending: Mutex<Option<Ending>>,
    over: AtomicBool,
}

/// A new eventfd that never blocks.
pub fn event() -> Result<EventFd, Error> {
    EventFd::new(EFD_NONBLOCK | EFD_CLOEXEC)
        .map_err(|source| Error::System { doing: "make an eventfd", source })
}

/// An eventfd as a file of its own, to be handed to another process.
pub fn event_file(event: &EventFd) -> Result<File, Error> {
    let copy = event.try_clone().map_err(|source| Error::System { doing: "copy an eventfd", source })?;
    // SAFETY: the copy was just made and is given up to the file.
    Ok(unsafe { File::from_raw_fd(copy.into_raw_fd()) })
}

/// Calls of other processes: eventfds that end a yield. Their signals are noticed, never read: what another process
/// shares with this one it can read empty, or make blocking, at any time.
pub struct Calls(Epoll);

impl Calls {
    /// No call yet.
    pub fn new() -> Result<Self, Error> {
        Epoll::new().map(Self).map_err(|source| Error::System { doing: "make an epoll", source })
    }

    /// Listens to an eventfd for good.
    pub fn listen(&self, event: &EventFd) -> Result<(), Error> {
        let edge = EpollEvent::new(EventSet::IN | EventSet::EDGE_TRIGGERED, 0);
        self.0
            .ctl(ControlOperation::Add, event.as_raw_fd(), edge)
            .map_err(|source| Error::System { doing: "wait for calls", source })
    }

    /// Takes note of all signals so far.
    fn clear(&self) {
        let mut events = [EpollEvent::default(); 16];
        let _ = self.0.wait(0, &mut events);
    }
}

/// Signals an eventfd; its counter cannot overflow within a lifetime.
pub fn signal(event: &EventFd) {
    let _ = event.write(1);
}

impl Shared {
    /// Before either thread works.
    pub fn new() -> Result<Self, Error> {
        Ok(Self {
            wake: event()?,
            news: event()?,
            control: event()?,
            ready: AtomicU64::new(0),
            kill: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            thread: AtomicI32::new(0),
            immediate_exit: AtomicPtr::new(std::ptr::null_mut()),
            ending: Mutex::new(None),
            over: AtomicBool::new(false),
        })
    }

    /// When the guest said that it is ready.
    pub fn ready(&self) -> Option<Tsc> {
        match self.ready.load(Ordering::Acquire) {
            0 => None,
            stamp => Some(Tsc(stamp)),
        }
    }

    /// Ends the instance, wherever its guest is. The first ending counts.
    pub fn end(&self, ending: Ending) {
        self.ending.lock().expect("no thread panics with the lock").get_or_insert(ending);
        self.kill.store(true, Ordering::SeqCst);
        self.leave();
    }

    /// Keeps the guest from running, or lets it run on.
    pub fn pause(&self, pause: bool) {
        self.paused.store(pause, Ordering::SeqCst);
        if pause {
            self.leave();
        } else {
            signal(&self.wake);
        }
    }

    /// Whether the guest is kept from running.
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    /// Has the vCPU thread leave the guest, or end its sleep, and look what is wished.
    fn leave(&self) {
        let flag = self.immediate_exit.load(Ordering::SeqCst);
        if !flag.is_null() {
            // SAFETY: points into the vCPU's `kvm_run`, which is mapped until the process ends.
            unsafe { flag.write_volatile(1) };
            signals::kick(self.thread.load(Ordering::SeqCst));
        }
        signal(&self.wake);
    }

    /// The vCPU thread has left the guest for good.
    pub fn left(&self, ending: Ending) {
        self.ending.lock().expect("no thread panics with the lock").get_or_insert(ending);
        self.over.store(true, Ordering::SeqCst);
        signal(&self.news);
    }

    /// Whether the guest will not run again.
    pub fn over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// The ending, once there is one.
    pub fn ending(&self) -> Option<Ending> {
        self.ending.lock().expect("no thread panics with the lock").clone()
    }
}

/// The virtual processor, ready to enter.
pub struct Vcpu<'a> {
    /// Its descriptor.
    pub fd: VcpuFd,
    /// Its virtual machine.
    pub vm: &'a VmFd,
    /// The monitor's pages, with the fault stack.
    pub monitor: &'a Region,
    /// The other thread's view.
    pub shared: &'a Shared,
    /// Frequency of the time stamp counter, Hz.
    pub tsc_hz: u64,
    /// How often the control doorbell rang by exit.
    pub rings: u32,
    /// Calls of back ends, if there are such.
    pub calls: Option<Calls>,
}

/// What an exit asks for.
enum Asked {
    Nothing,
    Yield(u64),
    Ring,
    Ready,
    End(Ending),
}

impl Vcpu<'_> {
    /// Runs the guest to its end.
    pub fn run(&mut self) -> Ending {
        let flag = &raw mut self.fd.get_kvm_run().immediate_exit;
        self.shared.thread.store(signals::this_thread(), Ordering::SeqCst);
        self.shared.immediate_exit.store(flag, Ordering::SeqCst);
        loop {
            if self.shared.kill.load(Ordering::SeqCst) {
                return self.shared.ending().unwrap_or(Ending::Killed);
            }
            if self.shared.is_paused() {
                self.sleep(YIELD_FOREVER);
                continue;
            }
            match self.step() {
                Asked::Nothing => {}
                Asked::Yield(deadline) => self.sleep(deadline),
                Asked::Ring => self.ring(),
                Asked::Ready => {
                    self.shared.ready.store(Tsc::now().0, Ordering::Release);
                    signal(&self.shared.news);
                }
                Asked::End(ending) => return ending,
            }
        }
    }

    fn step(&mut self) -> Asked {
        let what = match self.fd.run() {
            Ok(VcpuExit::MmioWrite(address, data)) => match store(address, data) {
                Store::Asked(asked) => return asked,
                Store::Fault(vector) => return Asked::End(self.processor_fault(vector)),
                Store::Wrong(what) => what,
            },
            Ok(VcpuExit::MmioRead(address, data)) => {
                format!("load of {} bytes from {address:#x}, which cannot be read", data.len())
            }
            Ok(VcpuExit::Intr) => return self.left_early(),
            Ok(VcpuExit::Shutdown) => {
                "a fault while a fault was being delivered; the processor shut down".into()
            }
            Ok(VcpuExit::InternalError) => "an instruction that KVM cannot carry out there".into(),
            Ok(VcpuExit::FailEntry(reason, _)) => format!("entry refused by the processor ({reason:#x})"),
            Ok(VcpuExit::Hlt) => "halted the processor".into(),
            Ok(VcpuExit::IoIn(port, _) | VcpuExit::IoOut(port, _)) => format!("I/O to port {port:#x}"),
            Ok(VcpuExit::Hypercall(_)) => "made a hypercall".into(),
            Ok(other) => format!("an exit that no guest has reason for: {other:?}"),
            Err(e) => match e.errno() {
                libc::EINTR | libc::EAGAIN => return self.left_early(),
                libc::EFAULT => "touched memory that the host could not provide".into(),
                errno => {
                    let e = std::io::Error::from_raw_os_error(errno);
                    return Asked::End(Ending::Monitor { message: format!("cannot run the guest: {e}") });
                }
            },
        };
        Asked::End(self.fault(what))
    }

    /// The guest was left before it asked for anything, because of a wish: that is looked at next.
    fn left_early(&mut self) -> Asked {
        self.fd.set_kvm_immediate_exit(0);
        // Who wishes sets the wish first, and the flag then: none is missed between the two.
        fence(Ordering::SeqCst);
        Asked::Nothing
    }

    fn ring(&mut self) {
        signal(&self.shared.control);
        self.rings += 1;
        if self.rings == RINGS_BY_EXIT {
            // On failure every ring goes on as an exit, which is slower and no worse.
            let _ = connect_doorbell(self.vm, doorbell(DOORBELL_CONTROL), &self.shared.control);
        }
    }

    fn sleep(&self, deadline: u64) {
        let timeout = (deadline != YIELD_FOREVER).then(|| {
            let ns = Tsc(deadline).since(Tsc::now(), self.tsc_hz);
            libc::timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as i64 }
        });
        let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        let calls = self.calls.as_ref().map_or(-1, |calls| calls.0.as_raw_fd());
        let wait = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let mut polls = [wait(self.shared.wake.as_raw_fd()), wait(calls)];
        // SAFETY: two valid `pollfd`s, the second of which is passed over if it has no descriptor; a valid timeout or
        // none, no signal mask.
        if unsafe { libc::ppoll(polls.as_mut_ptr(), 2, timeout, std::ptr::null()) } > 0 {
            if polls[0].revents != 0 {
                let _ = self.shared.wake.read();
            }
            if let Some(calls) = self.calls.as_ref().filter(|_| polls[1].revents != 0) {
                calls.clear();
            }
        }
    }

    fn registers(&self) -> Option<Registers> {
        self.fd.get_regs().ok().map(Registers::from)
    }

    fn fault(&self, what: String) -> Ending {
        Ending::Fault(Box::new(Fault { what, registers: self.registers(), ..Default::default() }))
    }

    /// A fault gate's stub has stored to its register: the frame is on the fault stack.
    fn processor_fault(&self, vector: u8) -> Ending {
        let mut registers = self.registers().unwrap_or_default();
        if !FAULT_STUBS.contains(&registers.rip) {
            return self.fault("store to a fault register".into());
        }
        let frame = |word: u64| {
            self.monitor.read_value::<u64>(GuestPhys(FAULT_STACK_TOP - 8 * word)).unwrap_or_default()
        };
        (registers.rsp, registers.rflags, registers.rip) = (frame(2), frame(3), frame(5));
        let error_code = has_error_code(vector).then(|| frame(6));
        let address = (vector == 14).then(|| self.fd.get_sregs().map_or(0, |s| s.cr2));
        let what = match (address, error_code) {
            (Some(address), Some(error)) => page_fault_words(error, address),
            _ => vector_name(vector).into(),
        };
        let registers = Some(registers);
        Ending::Fault(Box::new(Fault { what, vector: Some(vector), error_code, address, registers }))
    }
}

/// What a store to an unmapped address means.
enum Store {
    Asked(Asked),
    Fault(u8),
    Wrong(String),
}

fn store(address: u64, data: &[u8]) -> Store {
    let faults = FAULT..FAULT + FAULT_STRIDE * FAULT_VECTORS;
    match (address, data.len()) {
        (YIELD, 8) => Store::Asked(Asked::Yield(u64::from_le_bytes(data.try_into().expect("eight bytes")))),
        (READY, 4) => Store::Asked(Asked::Ready),
        (EXIT, 4) => {
            let code = u32::from_le_bytes(data.try_into().expect("four bytes"));
            Store::Asked(Asked::End(Ending::Exit { code }))
        }
        (a, 4) if a == doorbell(DOORBELL_CONTROL) => Store::Asked(Asked::Ring),
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
