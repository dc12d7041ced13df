//! Fourth stage: checks the image, negotiates with back ends, lays out and fills guest memory, and prepares the work of the I/O
//! thread.
#![allow(unsafe_code)]

use super::created::{Created, Work};
use super::devices::{BackEnd, OpenNet, negotiate};
use super::inputs::{Files, command_line, configuration};
use super::prepared::{self, Prepared, UnassignedDevice, Waiting};
use crate::channel::control_ring::ControlRing;
use crate::channel::marks::Marks;
use crate::channel::{FreeMemory, GuestChannel};
use crate::cpu::processor::entry_registers;
use crate::cpu::vcpu::Preparation;
use crate::image::{Image, large_pages};
use crate::memory_map::boot_page::{Contents, NONE, boot_page};
use crate::memory_map::layout::{Layout, LayoutRequest};
use crate::memory_map::page_tables;
use crate::options::Options;
use abi::boot::{BootPage, FLAG_PREPARED, NetDevice};
use abi::control::ControlPage;
use abi::layout::{DATA_BASE, IMAGE_BASE};
use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::VmFd;
use machine::confine::signals;
use machine::error::Error;
use machine::eventfd::EventFd;
use machine::host::ioctls::connect_doorbell;
use machine::io::{GRACE, InstanceInfo, Io, IoParts, TapPort, VhostPort};
use machine::memory::{GuestPhys, Region};
use machine::net::back_end::{await_session, vhost_error};
use machine::net::device::TapNet;
use machine::report::Reporter;
use machine::timeline::{Phase, Span, Timeline, Tsc};
use machine::vcpu::Calls;
use machine::vhost::negotiation::Attaching;
use machine::vhost::thread::{Health, Port};
use machine::vhost::{self, VhostError};
use std::mem::offset_of;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

/// A guest that is complete except for its clock.
pub struct Loaded {
    pub(super) created: Created,
    pub(super) memory: Memory,
    pub(super) boot: BootPage,
    /// Time stamp counter at the guest's entry.
    pub(super) entered: Arc<AtomicU64>,
    /// The work of the I/O thread. Back ends have started, except those of a prepared guest.
    pub(super) work: Option<Work>,
    pub(super) calls: Option<Calls>,
    /// State of a prepared guest; `None` for others.
    pub(super) preparation: Option<Arc<Preparation>>,
}

/// A guest that is complete except for the work of the I/O thread.
struct Assembled {
    image: Image,
    memory: Memory,
    boot: BootPage,
    entered: Arc<AtomicU64>,
    io: Io<GuestChannel>,
    devices: Devices,
}

/// All memory of a virtual machine, with its contents.
pub struct Memory {
    pub(super) guest: Arc<Region>,
    /// The file behind `guest`.
    pub(super) file: Arc<OwnedFd>,
    /// The monitor's pages.
    pub(super) monitor: Region,
    /// The read-only part of the image.
    pub(super) image: Region,
    pub(super) layout: Layout,
}

/// Options that were checked against one image.
struct CheckedInstance {
    image: Image,
    /// Whether this process can map the image with large pages.
    large_pages: bool,
    config: Vec<u8>,
    has_config: bool,
    words: Vec<u8>,
    /// Space for the command line and for the configuration, bytes.
    room: (u64, u64),
    /// Guest memory, bytes.
    memory: u64,
    nets: Vec<OpenNet>,
}

/// The devices of an instance, by the thread that serves them.
#[derive(Default)]
struct Devices {
    taps: Vec<TapPort>,
    vhosts: Vec<VhostPort>,
    calls: Option<Calls>,
    /// Devices whose back ends were configured and have not answered yet.
    attaching: Vec<AttachingPort>,
    /// Devices whose back ends connect when the guest is assigned.
    later: Vec<UnassignedDevice>,
}

/// A device whose back end was configured and has not answered yet.
struct AttachingPort {
    port: Port,
    attaching: Result<Attaching, VhostError>,
    /// How long to wait for a back end.
    wait: Duration,
}

/// Phases, each with the time stamp counter at its start and its end.
type Phases = Vec<(Phase, Tsc, Tsc)>;

impl Created {
    /// Loads the guest.
    pub fn load(
        mut self,
        options: &Options,
        files: Files,
        reporter: Reporter,
        begun: Tsc,
    ) -> Result<Loaded, Error> {
        let instance = self.check(options, files)?;
        instance.image.accepts_config(instance.has_config)?;
        let Assembled { memory, boot, entered, io, devices, .. } =
            self.assemble(options, instance, reporter, begun)?;
        let work = Some(Work::Serve(Box::new(io)));
        Ok(Loaded { created: self, memory, boot, entered, work, calls: devices.calls, preparation: None })
    }

    /// Loads a prepared guest, which waits at this socket for its assignment.
    pub fn load_prepared(
        mut self,
        options: &Options,
        files: Files,
        reporter: Reporter,
        begun: Tsc,
        socket: UnixStream,
    ) -> Result<Loaded, Error> {
        let mut instance = self.check(options, files)?;
        if !instance.image.can_be_prepared() {
            return Err(Error::image(format!("{} cannot be prepared", instance.image.name())));
        }
        instance.room = (prepared::WORDS_MAXIMUM, prepared::CONFIG_MAXIMUM);
        let Assembled { image, memory, mut boot, entered, io, devices } =
            self.assemble(options, instance, reporter, begun)?;
        let complete = boot;
        boot.flags = FLAG_PREPARED;
        boot.random = [0; 32];
        (boot.command_line.length, boot.config.length, boot.poll_ns) = (0, 0, 0);
        for device in &mut boot.net {
            *device = NetDevice {
                features: device.features,
                receive: device.receive,
                transmit: device.transmit,
                ..NONE
            };
        }
        let preparation = Preparation::new()?;
        let waiting = Waiting::new(Prepared {
            socket,
            io,
            state: self.state.clone(),
            preparation: preparation.clone(),
            memory: memory.guest.clone(),
            layout: memory.layout.clone(),
            boot: complete,
            image,
            devices: devices.later,
            tsc_hz: self.tsc_hz,
        })?;
        let (work, preparation) = (Some(Work::Await(Box::new(waiting))), Some(preparation));
        Ok(Loaded { created: self, memory, boot, entered, work, calls: devices.calls, preparation })
    }

    /// Creates the guest's memory and devices, and what the I/O thread needs for them.
    fn assemble(
        &mut self,
        options: &Options,
        instance: CheckedInstance,
        reporter: Reporter,
        begun: Tsc,
    ) -> Result<Assembled, Error> {
        let (memory, mut phases) = Memory::new(&instance)?;
        phases.insert(0, (Phase::Create, begun, phases[0].1));
        for (slot, region) in [&memory.monitor, &memory.image, &*memory.guest].into_iter().enumerate() {
            set_memory_slot(&self.vm, slot as u32, region)?;
        }
        let devices: Vec<NetDevice> = instance.nets.iter().map(|net| net.device).collect();
        let contents = Contents {
            nets: &devices,
            poll_ns: options.poll_ns,
            random: self.opened.random,
            cpu_level: self.processor.level(),
            tsc_hz: self.tsc_hz,
            flags: 0,
        };
        let boot = boot_page(&memory.layout, &contents);
        let stack_top = memory.layout.stack.base + memory.layout.stack.length;
        let registers = entry_registers(instance.image.entry, memory.layout.boot, stack_top);
        self.vcpu.set_regs(&registers).map_err(Error::kvm("set registers"))?;

        let entered = Arc::new(AtomicU64::new(0));
        let spawn = spawn_phases(begun, self.tsc_hz, &phases);
        let marks = Marks::new(memory.guest.clone(), memory.layout.guest_page, spawn, entered.clone());
        let facts = InstanceInfo { image: instance.image.name(), memory: instance.memory };
        let mut devices = self.connect(instance.nets, &memory)?;
        let layout = &memory.layout;
        let ring = ControlRing::new(&memory.guest, layout.control_page, layout.to_guest, layout.to_host);
        let free_memory = FreeMemory::new(memory.guest.clone(), layout.heap);
        let channel = GuestChannel { ring: ring.map_err(broken)?, marks, free_memory };
        self.finish(std::mem::take(&mut devices.attaching))?;
        let signals = self.opened.signals.take();
        let signals = signals.ok_or_else(|| Error::Configuration("a machine is loaded once".into()))?;
        let served = IoParts {
            state: self.state.clone(),
            signals,
            grace: GRACE,
            console: options.common.console,
            channel,
            taps: std::mem::take(&mut devices.taps),
            vhosts: std::mem::take(&mut devices.vhosts),
            ports: Vec::new(),
            listener: self.opened.listener.take(),
            reporter,
            info: facts,
        };
        let io = Io::new(served)?;
        Ok(Assembled { image: instance.image, memory, boot, entered, io, devices })
    }

    /// Reads image and configuration. Errors: they do not fit together.
    fn check(&mut self, options: &Options, files: Files) -> Result<CheckedInstance, Error> {
        let Files { image, config, large_pages } = files;
        let image = Image::from_file(image, options.image.clone())?;
        let name = options.config.as_ref().map_or("configuration".into(), |path| path.display().to_string());
        let config = config.map(|file| configuration(file, &name)).transpose()?;
        let memory = options.memory.unwrap_or(image.note.memory_default);
        image.accepts_size(memory, options.nets.len())?;
        let level = self.processor.level();
        if image.note.cpu_level > level {
            return Err(Error::image(format!(
                "{} needs a processor of x86-64 level {}; this host's has level {level}",
                image.name(),
                image.note.cpu_level
            )));
        }
        let ends = std::mem::take(&mut self.opened.back_ends);
        let ends = ends.into_iter().zip(&options.nets).enumerate();
        let stop = || self.stopped();
        let wanted = image.note.net_features;
        let nets = ends.map(|(number, (end, net))| negotiate(end, number, net, wanted, &stop));
        let nets = nets.collect::<Result<_, _>>()?;
        let (words, has_config) = (command_line(options), config.is_some());
        let config = config.unwrap_or_default();
        let room = (words.len() as u64, config.len() as u64);
        Ok(CheckedInstance { image, large_pages, config, has_config, words, room, memory, nets })
    }

    /// Connects doorbells to queues, and sends back ends their configuration.
    fn connect(&mut self, nets: Vec<OpenNet>, memory: &Memory) -> Result<Devices, Error> {
        let mut devices = Devices::default();
        for (number, (net, queues)) in nets.into_iter().zip(&memory.layout.queues).enumerate() {
            let kicks = [EventFd::new()?, EventFd::new()?];
            let features = net.device.features;
            for (queue, kick) in queues.iter().zip(&kicks) {
                connect_doorbell(&self.vm, abi::registers::doorbell(queue.doorbell), kick)
                    .map_err(|source| Error::System { doing: "connect a doorbell", source })?;
            }
            match net.back_end {
                BackEnd::Tap(tap) => {
                    let device = TapNet::new(tap, &memory.guest, *queues, features).map_err(broken)?;
                    devices.taps.push(TapPort { number, device, kicks });
                }
                back_end @ (BackEnd::Vhost(..) | BackEnd::Unassigned) => {
                    let call = EventFd::new()?;
                    // A back end starts a ring when it is kicked. Nobody else has these eventfds yet.
                    kicks.iter().chain([&call]).for_each(EventFd::signal);
                    if devices.calls.is_none() {
                        devices.calls = Some(Calls::new()?);
                    }
                    devices.calls.as_ref().map_or(Ok(()), |calls| calls.listen(&call))?;
                    let device = vhost::negotiation::Device {
                        memory: memory.guest.clone(),
                        file: memory.file.clone(),
                        queues: *queues,
                        features,
                        mtu: net.device.mtu,
                        kicks: [kicks[0].to_file()?, kicks[1].to_file()?],
                        call: call.to_file()?,
                        inflight: None,
                    };
                    let health = Arc::new(Health::default());
                    match back_end {
                        BackEnd::Vhost(endpoint, session) => {
                            let (state, health) = (self.state.clone(), health.clone());
                            let mut port = Port { number, endpoint, device, health, state };
                            let attaching = port.attach_first(session);
                            devices.attaching.push(AttachingPort { port, attaching, wait: net.wait });
                        }
                        _ => devices.later.push(UnassignedDevice {
                            device,
                            health: health.clone(),
                            thread: self.threads.take_device_thread()?,
                        }),
                    }
                    devices.vhosts.push(VhostPort { number, health });
                }
            }
        }
        Ok(devices)
    }

    /// Waits until back ends have started, and hands each to its device thread. A back end that ends meanwhile is replaced by the
    /// next one if this side listens.
    fn finish(&mut self, attaching: Vec<AttachingPort>) -> Result<(), Error> {
        for AttachingPort { mut port, mut attaching, wait } in attaching {
            let deadline = Instant::now() + wait;
            let attached = loop {
                match attaching.and_then(Attaching::finish) {
                    Err(e)
                        if e.is_disconnected() && port.endpoint.is_server() && Instant::now() < deadline =>
                    {
                        let left = deadline.saturating_duration_since(Instant::now());
                        let session = await_session(&port.endpoint, None, left, &|| self.stopped());
                        attaching = session.and_then(|session| port.attach_next(session));
                    }
                    outcome => break outcome.map_err(|e| vhost_error(port.number, &e))?,
                }
            };
            self.threads.take_device_thread()?.serve(port, attached);
        }
        Ok(())
    }

    /// The signal that ends the process, if one was received.
    fn stopped(&self) -> Option<u8> {
        signals::next(self.opened.signals.as_ref()?).and_then(|s| u8::try_from(s).ok())
    }
}

impl Memory {
    /// Fills guest memory with everything that does not depend on the virtual machine, and measures how long that takes.
    fn new(instance: &CheckedInstance) -> Result<(Self, Phases), Error> {
        let begun = Tsc::now();
        let CheckedInstance { image, large_pages, config, words, room, memory, nets, .. } = instance;
        let request = LayoutRequest {
            memory: *memory,
            command_line: room.0,
            config: room.1,
            queue_sizes: nets.iter().map(|n| n.queue).collect(),
        };
        let layout = Layout::new(image, &request)?;
        let (guest, file) = Region::shared(GuestPhys(DATA_BASE), *memory)?;
        for range in layout.touched(image) {
            guest.populate(GuestPhys(range.base), range.length)?;
        }
        let memory_done = Tsc::now();
        let (mapped, large) = map_image(image, *large_pages)?;
        let monitor = page_tables::build(image, &layout, large)?;
        for s in image.writable() {
            guest.read_file(GuestPhys(s.address), s.file_length, &image.file, s.offset)?;
        }
        guest.write(GuestPhys(layout.command_line.base), words)?;
        guest.write(GuestPhys(layout.config.base), config)?;
        let page = |offset: usize| GuestPhys(layout.control_page + offset as u64);
        guest.write_value(page(offset_of!(ControlPage, to_guest_bytes)), &layout.to_guest)?;
        guest.write_value(page(offset_of!(ControlPage, to_host_bytes)), &layout.to_host)?;
        let phases = vec![(Phase::Memory, begun, memory_done), (Phase::Load, memory_done, Tsc::now())];
        Ok((Self { guest: Arc::new(guest), file: Arc::new(file), monitor, image: mapped, layout }, phases))
    }
}

/// Maps the read-only part of an image. Returns also whether large pages are used.
fn map_image(image: &Image, large_pages: bool) -> Result<(Region, bool), Error> {
    let start = GuestPhys(IMAGE_BASE);
    if large_pages::fits_file(image) {
        return Ok((Region::large_file(start, image.large_length(), &image.file)?, true));
    }
    if large_pages && large_pages::is_worthwhile(image) {
        let region = Region::large_private(start, image.large_length())?;
        for s in image.read_only() {
            region.read_file(GuestPhys(s.address), s.file_length, &image.file, s.offset)?;
        }
        return Ok((region, true));
    }
    Ok((Region::file(start, image.mapped_length(), &image.file)?, false))
}

/// The finished phases within `spawn`, in order.
fn spawn_phases(begun: Tsc, tsc_hz: u64, phases: &[(Phase, Tsc, Tsc)]) -> Timeline {
    let mut spawn = Timeline::new(begun, tsc_hz);
    let end = phases.iter().map(|&(_, _, end)| end).max().unwrap_or(begun);
    let inside: Vec<Span> = phases.iter().map(|&(phase, start, end)| spawn.span(phase, start, end)).collect();
    let whole = spawn.span(Phase::Spawn, begun, end);
    spawn.spans.push(Span { inside, ..whole });
    spawn
}

fn broken(e: impl std::fmt::Display) -> Error {
    Error::Configuration(e.to_string())
}

fn set_memory_slot(vm: &VmFd, slot: u32, region: &Region) -> Result<(), Error> {
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
