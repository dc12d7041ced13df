//! From options to a guest that runs: at once, or, for a prepared monitor, in two halves.
//!
//! Two threads: this one makes everything and becomes the vCPU; the I/O thread confines itself first thing, while this
//! one works, and waits for what it shall serve. A third for each device over vhost-user. The guest's first instruction
//! comes when all are confined.

pub mod prepared;

use crate::channel::GuestChannel;
use crate::channel::control_ring::ControlRing;
use crate::channel::marks::Marks;
use crate::cpu::processor::{Processor, entry_registers};
use crate::cpu::vcpu::Vcpu;
use crate::image::Image;
use crate::memory_map::boot_page::{Contents, boot_page};
use crate::memory_map::layout::{Layout, Wanted};
use crate::memory_map::page_tables;
use crate::options::{NetOptions, Options};
use abi::boot::{NET_MAXIMUM, NetDevice};
use abi::layout::{DATA_BASE, IMAGE_BASE};
use kvm_bindings::kvm_userspace_memory_region;
use kvm_bindings::{KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_FIX_HYPERCALL_INSN, kvm_enable_cap};
use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use machine::confine::{privileges, seccomp, signals};
use machine::ending::Ending;
use machine::error::Error;
use machine::eventfd::EventFd;
use machine::host;
use machine::host::ioctls::connect_doorbell;
use machine::io::{Facts, Io, Served, TapPort, VhostPort};
use machine::memory::{GuestPhys, Region};
use machine::net::device::TapNet;
use machine::net::{FEATURES, agree, mac_from, tap};
use machine::report::Reporter;
use machine::timeline::{Phase, Span, Timeline, Tsc, unix_ns};
use machine::vcpu::{Calls, VcpuState};
use machine::vhost::connector::Connector;
use machine::vhost::endpoint::Endpoint;
use machine::vhost::negotiation::{Introduced, introduce};
use machine::vhost::thread::{Health, Port};
use machine::vhost::{self, VhostError};
use prepared::Files;
use seccompiler::BpfProgram;
use std::fs::File;
use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// What was opened while the process still could.
struct Opened {
    image: Image,
    config: Vec<u8>,
    words: Vec<u8>,
    memory: u64,
    nets: Vec<OpenNet>,
    listener: Option<UnixListener>,
    signals: OwnedFd,
    random: [u8; 32],
    console: bool,
    poll_ns: u32,
}

/// What is opened by path, for good or before a prepared monitor is told more.
struct Doors {
    connector: Option<Arc<Connector>>,
    listener: Option<UnixListener>,
    signals: OwnedFd,
    random: [u8; 32],
}

/// A net device's other end, and what the guest is told of it.
struct OpenNet {
    end: End,
    device: NetDevice,
    queue: u32,
}

/// What carries packets.
enum End {
    Tap(OwnedFd),
    Vhost(Endpoint, Introduced),
}

/// Memory with everything in it.
struct Prepared {
    guest: Arc<Region>,
    file: Arc<OwnedFd>,
    monitor: Region,
    image: Region,
    layout: Layout,
    phases: [(Phase, Tsc, Tsc); 2],
}

/// Runs a guest to its end; the process's exit status. Errors: nothing was started.
pub fn run(options: &Options, begun: Tsc, reporter: Reporter) -> Result<u8, Error> {
    let kvm = host::open_kvm()?;
    let parent = privileges::parent();
    privileges::one_heap();
    let sockets = options.nets.iter().filter(|net| !net.server).filter_map(|net| net.vhost_user.clone());
    let doors = Doors::open(options, sockets.collect())?;
    let processor = Processor::host();
    let opened = open(options, doors, &processor, None)?;
    privileges::drop_all(options.no_mounts)?;
    if options.die_with_parent {
        privileges::die_with(parent)?;
    }
    let begun = options.origin.unwrap_or(begun);
    let machine = Machine::make(kvm, processor, None)?;
    let create = (Phase::Create, begun, Tsc::now());
    machine.run(opened, reporter, begun, Some(create))
}

/// Makes all that can be made before it is known what shall run, and waits for the start request; then as [`run`].
pub fn prepared(ahead: &Options, socket: UnixStream, reporter: Reporter) -> Result<u8, Error> {
    let kvm = host::open_kvm()?;
    privileges::one_heap();
    let sockets = (0..NET_MAXIMUM).map(|number| format!("net{number}.sock").into());
    let doors = Doors::open(ahead, sockets.collect())?;
    privileges::drop_all(ahead.no_mounts)?;
    let machine = Machine::make(kvm, Processor::host(), ahead.memory)?;
    let Some((options, files)) = prepared::wait(socket)? else { return Ok(0) };
    let begun = options.origin.unwrap_or_else(Tsc::now);
    let opened = open(&options, doors, &machine.processor, Some(files))?;
    machine.run(opened, reporter, begun, None)
}

impl Doors {
    /// `sockets` are those of the switch, to connect to.
    fn open(options: &Options, sockets: Vec<PathBuf>) -> Result<Self, Error> {
        let connector = if sockets.is_empty() { None } else { Some(Arc::new(Connector::start(sockets)?)) };
        let listener = options.control.as_ref().map(|path| {
            listener::bind(path).and_then(|l| l.set_nonblocking(true).map(|()| l)).map_err(|e| Error::Host {
                problem: format!("control socket {}: {e}", path.display()),
                hint: "choose another path, or remove what is left of an instance that ended".into(),
            })
        });
        let mut random = [0; 32];
        // Without it a guest's secrets would be guessed.
        File::open("/dev/urandom")
            .and_then(|mut f| f.read_exact(&mut random))
            .map_err(|source| Error::System { doing: "read random bytes", source })?;
        Ok(Self { connector, listener: listener.transpose()?, signals: signals::stop_requests()?, random })
    }
}

/// Reads a configuration, as much as a guest can be given.
fn configuration(file: File, name: &str) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    file.take(u64::from(abi::control::MESSAGE_MAXIMUM) + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::Configuration(format!("{name}: {e}")))?;
    if bytes.len() > abi::control::MESSAGE_MAXIMUM as usize {
        return Err(Error::Configuration(format!("{name}: longer than 4 MiB")));
    }
    Ok(bytes)
}

/// Opens what the options name, or takes what was handed over, and refuses what does not fit together.
fn open(
    options: &Options,
    doors: Doors,
    processor: &Processor,
    files: Option<Files>,
) -> Result<Opened, Error> {
    let (image, config) = match files {
        Some(Files { image, config }) => {
            let config = config.map(|file| configuration(file, "configuration"));
            (Image::from_file(image, options.image.clone())?, config)
        }
        None => {
            let config = options.config.as_ref().map(|path| {
                let name = path.display().to_string();
                let file = File::open(path).map_err(|e| Error::Configuration(format!("{name}: {e}")))?;
                configuration(file, &name)
            });
            (Image::open(&options.image)?, config)
        }
    };
    let config = config.transpose()?;
    let memory = options.memory.unwrap_or(image.note.memory_default);
    image.accepts(memory, options.nets.len(), config.is_some())?;
    let level = processor.level();
    if image.note.cpu_level > level {
        return Err(Error::image(format!(
            "{} needs a processor of x86-64 level {}; this host's has level {level}",
            image.name(),
            image.note.cpu_level
        )));
    }
    let mut nets = Vec::with_capacity(options.nets.len());
    let mut clients = 0;
    for (number, net) in options.nets.iter().enumerate() {
        let wanted = image.note.net_features;
        nets.push(match (&net.vhost_user, &doors.connector) {
            (Some(path), _) if net.server => open_vhost(number, net, wanted, Endpoint::listen(path)?)?,
            (Some(_), Some(connector)) => {
                clients += 1;
                open_vhost(number, net, wanted, Endpoint::Client(connector.clone(), clients - 1))?
            }
            _ => open_tap(net, wanted)?,
        });
    }
    let words = options.words.iter().flat_map(|w| w.bytes().chain([0])).collect();
    Ok(Opened {
        image,
        config: config.unwrap_or_default(),
        words,
        memory,
        nets,
        listener: doors.listener,
        signals: doors.signals,
        random: doors.random,
        console: options.console,
        poll_ns: options.poll_ns,
    })
}

#[allow(unsafe_code)]
fn open_tap(net: &NetOptions, wanted: u64) -> Result<OpenNet, Error> {
    let fd = match (&net.tap, net.fd) {
        (Some(name), _) => tap::open(name)?,
        // SAFETY: the starter handed this descriptor over; nothing else in this process uses it.
        (None, Some(fd)) if fd > 2 => unsafe { OwnedFd::from_raw_fd(fd) },
        _ => return Err(Error::Configuration("--net fd: not a descriptor that can be handed over".into())),
    };
    let features = agree(FEATURES, wanted, net.offload);
    tap::set_offloads(&fd, features)?;
    let name = net.tap.clone().unwrap_or_else(|| format!("fd{}", net.fd.unwrap_or_default()));
    Ok(OpenNet { end: End::Tap(fd), device: net_device(net, &name, features), queue: net.queue })
}

/// Meets the first back end, which decides what the guest can have.
fn open_vhost(number: usize, net: &NetOptions, wanted: u64, endpoint: Endpoint) -> Result<OpenNet, Error> {
    let introduced = endpoint.connect(Duration::from_secs(net.wait)).and_then(introduce);
    let introduced = introduced.map_err(|e| vhost_error(number, &e))?;
    let features = agree(vhost::usable(introduced.offered), wanted, net.offload);
    let name = net.vhost_user.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let device = net_device(net, &name, features);
    Ok(OpenNet { end: End::Vhost(endpoint, introduced), device, queue: net.queue })
}

fn vhost_error(number: usize, e: &VhostError) -> Error {
    let hint = match e {
        VhostError::Unreachable { .. } => "start the switch, or check the path and who may write to it",
        VhostError::Unvisited { .. } => "have the switch connect to this path, or wait longer: wait=SECONDS",
        _ => "look at what the switch says of this port",
    };
    Error::Host { problem: format!("net device {number}: {e}"), hint: hint.into() }
}

/// What the guest is told of a device, apart from its queues.
fn net_device(net: &NetOptions, name: &str, features: u64) -> NetDevice {
    let (ipv4, ipv4_prefix) = net.ipv4.map_or(([0; 4], 0), |(a, p)| (a.octets(), p));
    let (ipv6, ipv6_prefix) = net.ipv6.map_or(([0; 16], 0), |(a, p)| (a.octets(), p));
    NetDevice {
        features,
        mac: net.mac.unwrap_or_else(|| mac_from(name)),
        mtu: net.mtu,
        ipv4_prefix,
        ipv6_prefix,
        reserved: [0; 6],
        ipv4,
        ipv4_gateway: net.ipv4_gateway.map_or([0; 4], |a| a.octets()),
        ipv6,
        ipv6_gateway: net.ipv6_gateway.map_or([0; 16], |a| a.octets()),
        receive: Default::default(),
        transmit: Default::default(),
    }
}

/// A guest's memory, of so many bytes.
fn guest_memory(length: u64) -> Result<(Region, OwnedFd), Error> {
    Region::shared(GuestPhys(DATA_BASE), length)
}

/// Guest memory with everything but what depends on the virtual machine. What was made ahead is used if it fits.
fn prepare(o: &Opened, ahead: Option<(Region, OwnedFd)>) -> Result<Prepared, Error> {
    let begun = Tsc::now();
    let wanted = Wanted {
        memory: o.memory,
        command_line: o.words.len() as u64,
        config: o.config.len() as u64,
        queue_sizes: o.nets.iter().map(|n| n.queue).collect(),
    };
    let layout = Layout::new(&o.image, &wanted)?;
    let (guest, file) = match ahead.filter(|(region, _)| region.length() == o.memory) {
        Some(made) => made,
        None => guest_memory(o.memory)?,
    };
    for range in layout.touched(&o.image) {
        guest.populate(GuestPhys(range.base), range.length)?;
    }
    let memory_done = Tsc::now();
    let monitor = page_tables::build(&o.image, &layout)?;
    let image = Region::file(GuestPhys(IMAGE_BASE), o.image.mapped_length(), &o.image.file)?;
    for s in o.image.writable() {
        guest.read_file(GuestPhys(s.address), s.file_length, &o.image.file, s.offset)?;
    }
    guest.write(GuestPhys(layout.command_line.base), &o.words)?;
    guest.write(GuestPhys(layout.config.base), &o.config)?;
    write_control_page(&guest, &layout)?;
    let phases = [(Phase::Memory, begun, memory_done), (Phase::Load, memory_done, Tsc::now())];
    Ok(Prepared { guest: Arc::new(guest), file: Arc::new(file), monitor, image, layout, phases })
}

fn write_control_page(guest: &Region, layout: &Layout) -> Result<(), Error> {
    use abi::control::ControlPage;
    use std::mem::offset_of;
    let at = |offset: usize| GuestPhys(layout.control_page + offset as u64);
    guest.write_value(at(offset_of!(ControlPage, to_guest_bytes)), &layout.to_guest)?;
    guest.write_value(at(offset_of!(ControlPage, to_host_bytes)), &layout.to_host)?;
    Ok(())
}

/// A virtual machine that knows nothing yet of what it shall run.
struct Machine {
    kvm: Kvm,
    vm: VmFd,
    vcpu: VcpuFd,
    processor: Processor,
    tsc_hz: u64,
    /// Guest memory that was made ahead.
    memory: Option<(Region, OwnedFd)>,
    /// The vCPU thread's list of system calls.
    filter: BpfProgram,
    state: Arc<VcpuState>,
    /// The I/O thread, which waits for what it shall serve.
    thread: JoinHandle<Option<i32>>,
    io_to: Sender<Io<GuestChannel>>,
    /// Each thread's word that it is confined.
    confined_to: Sender<Result<(), Error>>,
    confined: Receiver<Result<(), Error>>,
}

impl Machine {
    /// Makes the virtual machine, while the I/O thread confines itself.
    fn make(kvm: Kvm, processor: Processor, memory: Option<u64>) -> Result<Self, Error> {
        let state = Arc::new(VcpuState::new()?);
        let (io_to, io_from) = channel::<Io<GuestChannel>>();
        let (confined_to, confined) = channel();
        let word = confined_to.clone();
        let thread = std::thread::Builder::new()
            .name("io".into())
            .spawn(move || {
                let entered = seccomp::io().and_then(|filter| seccomp::enter(&filter));
                let ok = entered.is_ok();
                // Without this thread's word the other starts nothing.
                let _ = word.send(entered);
                if ok { io_from.recv().ok().and_then(Io::run) } else { None }
            })
            .map_err(|source| Error::System { doing: "start a thread", source })?;
        let vm = kvm.create_vm().map_err(Error::kvm("make a virtual machine"))?;
        keep_hypercalls_as_they_are(&vm);
        let vcpu = vm.create_vcpu(0).map_err(Error::kvm("make a virtual processor"))?;
        processor.prepare(&vcpu)?;
        let khz = vcpu.get_tsc_khz().map_err(Error::kvm("ask for the time stamp counter's frequency"))?;
        let memory = memory.map(guest_memory).transpose()?;
        Ok(Self {
            kvm,
            vm,
            vcpu,
            processor,
            tsc_hz: u64::from(khz) * 1000,
            memory,
            filter: seccomp::vcpu()?,
            state,
            thread,
            io_to,
            confined_to,
            confined,
        })
    }

    /// Loads the guest, hands `Io` to its thread, and runs to the end. `create` is the phase that is over.
    fn run(
        mut self,
        o: Opened,
        reporter: Reporter,
        begun: Tsc,
        create: Option<(Phase, Tsc, Tsc)>,
    ) -> Result<u8, Error> {
        let p = prepare(&o, self.memory.take())?;
        for (slot, region) in [&p.monitor, &p.image, &*p.guest].into_iter().enumerate() {
            give(&self.vm, slot as u32, region)?;
        }
        let devices: Vec<NetDevice> = o.nets.iter().map(|net| net.device).collect();
        let contents = Contents {
            nets: &devices,
            poll_ns: o.poll_ns,
            random: o.random,
            cpu_level: self.processor.level(),
            tsc_hz: self.tsc_hz,
        };
        let mut boot = boot_page(&p.layout, &contents);
        let stack_top = p.layout.stack.base + p.layout.stack.length;
        let registers = entry_registers(o.image.entry, p.layout.boot, stack_top);
        self.vcpu.set_regs(&registers).map_err(Error::kvm("set registers"))?;

        let mut spawn = Timeline::new(begun, self.tsc_hz);
        let past = create.iter().chain(&p.phases);
        let inside: Vec<Span> = past.map(|&(phase, start, end)| spawn.span(phase, start, end)).collect();
        let whole = spawn.span(Phase::Spawn, begun, p.phases[1].2);
        spawn.spans.push(Span { inside, ..whole });
        let entered = Arc::new(AtomicU64::new(0));
        let marks = Marks::new(p.guest.clone(), p.layout.guest_page, spawn, entered.clone());
        let Ready { io, calls, threads } = self.io(o, &p, marks, reporter)?;

        privileges::exact_timers();
        seccomp::enter(&self.filter)?;
        let gone = |_| Error::Configuration("the I/O thread ended".into());
        for _ in 0..threads {
            self.confined.recv().map_err(gone)??;
        }
        let now = Tsc::now();
        (boot.clock_unix_ns, boot.clock_tsc) = (unix_ns(), now.0);
        p.guest.write_value(GuestPhys(p.layout.boot), &boot)?;
        entered.store(now.0, Ordering::Release);
        self.io_to.send(io).map_err(|_| Error::Configuration("the I/O thread ended".into()))?;
        let Self { kvm, vm, vcpu: fd, tsc_hz, state, thread, io_to, .. } = self;
        let monitor_pages = &p.monitor;
        let mut vcpu = Vcpu { fd, vm: &vm, monitor_pages, state: &state, tsc_hz, rings: 0, calls };
        let ending = vcpu.run();
        state.set_left(ending);
        // The process ends next, and the kernel tidies faster than a thread that may no longer even close.
        std::mem::forget((vcpu.fd, vcpu.calls, p.monitor, p.image, p.guest, p.file));
        std::mem::forget((vm, kvm, io_to));
        let signal = thread.join().unwrap_or_default();
        let status = state.ending().unwrap_or(Ending::Killed).status(signal);
        std::mem::forget(state);
        Ok(status)
    }

    /// What the I/O thread shall serve; back ends are at work when this returns.
    fn io(&self, o: Opened, p: &Prepared, marks: Marks, reporter: Reporter) -> Result<Ready, Error> {
        let broken = |e: &dyn std::fmt::Display| Error::Configuration(e.to_string());
        let ring = ControlRing::new(&p.guest, p.layout.control_page, p.layout.to_guest, p.layout.to_host)
            .map_err(|e| broken(&e))?;
        let (mut taps, mut vhosts, mut calls) = (Vec::new(), Vec::new(), None);
        for (number, (net, queues)) in o.nets.into_iter().zip(&p.layout.queues).enumerate() {
            let kicks = [EventFd::new()?, EventFd::new()?];
            for (queue, kick) in queues.iter().zip(&kicks) {
                connect_doorbell(&self.vm, abi::registers::doorbell(queue.doorbell), kick)
                    .map_err(|source| Error::System { doing: "connect a doorbell", source })?;
            }
            let features = net.device.features;
            match net.end {
                End::Tap(tap) => {
                    let device = TapNet::new(tap, &p.guest, *queues, features).map_err(|e| broken(&e))?;
                    taps.push(TapPort { number, device, kicks });
                }
                End::Vhost(endpoint, introduced) => {
                    let call = EventFd::new()?;
                    if calls.is_none() {
                        calls = Some(Calls::new()?);
                    }
                    calls.as_ref().map_or(Ok(()), |calls| calls.listen(&call))?;
                    let device = vhost::negotiation::Device {
                        memory: p.guest.clone(),
                        file: p.file.clone(),
                        queues: *queues,
                        features,
                        mtu: net.device.mtu,
                        kicks: [kicks[0].to_file()?, kicks[1].to_file()?],
                        call: call.to_file()?,
                        inflight: None,
                    };
                    let health = Arc::new(Health::default());
                    let mut port = Port { number, endpoint, device, health: health.clone() };
                    let attached = port.begin(introduced).map_err(|e| vhost_error(number, &e))?;
                    port.keep(attached, self.confined_to.clone())?;
                    vhosts.push(VhostPort { number, health });
                }
            }
        }
        let threads = 1 + vhosts.len();
        let served = Served {
            state: self.state.clone(),
            signals: o.signals,
            console: o.console,
            channel: GuestChannel { ring, marks },
            taps,
            vhosts,
            listener: o.listener,
            reporter,
            facts: Facts { image: o.image.name(), memory: o.memory },
        };
        Ok(Ready { io: Io::new(served)?, calls, threads })
    }
}

/// What is served beside the guest.
struct Ready {
    io: Io<GuestChannel>,
    calls: Option<Calls>,
    /// Threads that confine themselves before the guest is entered.
    threads: usize,
}

/// KVM would write another vendor's hypercall instruction over a guest's, into text that all instances share.
fn keep_hypercalls_as_they_are(vm: &VmFd) {
    let capability = kvm_enable_cap {
        cap: KVM_CAP_DISABLE_QUIRKS2,
        args: [KVM_X86_QUIRK_FIX_HYPERCALL_INSN.into(), 0, 0, 0],
        ..Default::default()
    };
    // An older host has no such switch. There the write fails for want of permission in the guest's page tables.
    let _ = vm.enable_cap(&capability);
}

#[allow(unsafe_code)]
fn give(vm: &VmFd, slot: u32, region: &Region) -> Result<(), Error> {
    let slot = kvm_userspace_memory_region {
        slot,
        flags: 0,
        guest_phys_addr: region.start().0,
        memory_size: region.length().next_multiple_of(abi::layout::PAGE_SIZE),
        userspace_addr: region.host_address(),
    };
    // SAFETY: the region stays mapped until after the guest has run for the last time.
    unsafe { vm.set_user_memory_region(slot) }.map_err(Error::kvm("give memory to the guest"))
}
