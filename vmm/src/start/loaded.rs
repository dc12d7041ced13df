//! Fourth stage: the image is checked, back ends are met, guest memory is laid out and filled, and what the I/O thread
//! shall serve is put together.
#![allow(unsafe_code)]

use super::devices::{Carrier, End, OpenNet, meet, vhost_error};
use super::made::Made;
use super::prepared::Files;
use crate::channel::control_ring::ControlRing;
use crate::channel::marks::Marks;
use crate::channel::{FreeMemory, GuestChannel};
use crate::cpu::processor::entry_registers;
use crate::image::Image;
use crate::memory_map::boot_page::{Contents, boot_page};
use crate::memory_map::layout::{Layout, LayoutRequest};
use crate::memory_map::page_tables;
use crate::options::Options;
use abi::boot::{BootPage, NetDevice};
use abi::control::ControlPage;
use abi::layout::{DATA_BASE, IMAGE_BASE};
use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::VmFd;
use machine::confine::signals;
use machine::error::Error;
use machine::eventfd::EventFd;
use machine::host::ioctls::connect_doorbell;
use machine::io::{Facts, GRACE, Io, Served, TapPort, VhostPort};
use machine::memory::{GuestPhys, Region};
use machine::net::device::TapNet;
use machine::report::Reporter;
use machine::timeline::{Phase, Span, Timeline, Tsc};
use machine::vcpu::Calls;
use machine::vhost::negotiation::Attaching;
use machine::vhost::thread::{Health, Port};
use machine::vhost::{self, VhostError};
use std::fs::File;
use std::io::Read;
use std::mem::offset_of;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

/// A guest that lacks nothing but its clock.
pub struct Loaded {
    pub(super) made: Made,
    pub(super) memory: Memory,
    pub(super) boot: BootPage,
    /// Time stamp counter at the guest's entry.
    pub(super) entered: Arc<AtomicU64>,
    /// What the I/O thread shall serve; back ends are at work already.
    pub(super) io: Option<Io<GuestChannel>>,
    pub(super) calls: Option<Calls>,
}

/// All memory of a virtual machine, with everything in it.
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

/// Checked options, for one image.
struct Instance {
    image: Image,
    config: Vec<u8>,
    words: Vec<u8>,
    /// Guest memory, bytes.
    memory: u64,
    nets: Vec<OpenNet>,
}

/// Where an instance's devices are served.
#[derive(Default)]
struct Devices {
    taps: Vec<TapPort>,
    vhosts: Vec<VhostPort>,
    calls: Option<Calls>,
    /// Devices whose back ends have been told what to do and have not answered yet.
    attaching: Vec<Starting>,
}

/// A device whose back end has been told what to do.
struct Starting {
    port: Port,
    attaching: Result<Attaching, VhostError>,
    /// How long a back end is waited for.
    wait: Duration,
}

/// Phases with the time stamp counter at their beginning and their end.
type Phases = Vec<(Phase, Tsc, Tsc)>;

/// Guest memory of so many bytes.
pub fn guest_memory(length: u64) -> Result<(Region, OwnedFd), Error> {
    Region::shared(GuestPhys(DATA_BASE), length)
}

impl Made {
    /// Loads the guest. `created` is when the process began, if that is part of the start.
    pub fn load(
        mut self,
        options: &Options,
        files: Files,
        reporter: Reporter,
        begun: Tsc,
        created: Option<Tsc>,
    ) -> Result<Loaded, Error> {
        let instance = self.check(options, files)?;
        let ahead = self.memory.take().filter(|(region, _)| region.length() == instance.memory);
        let (memory, mut phases) = Memory::new(&instance, ahead)?;
        if let Some(start) = created {
            let end = phases[0].1;
            phases.insert(0, (Phase::Create, start, end));
        }
        for (slot, region) in [&memory.monitor, &memory.image, &*memory.guest].into_iter().enumerate() {
            give(&self.vm, slot as u32, region)?;
        }
        let devices: Vec<NetDevice> = instance.nets.iter().map(|net| net.device).collect();
        let contents = Contents {
            nets: &devices,
            poll_ns: options.poll_ns,
            random: self.opened.random,
            cpu_level: self.processor.level(),
            tsc_hz: self.tsc_hz,
        };
        let boot = boot_page(&memory.layout, &contents);
        let stack_top = memory.layout.stack.base + memory.layout.stack.length;
        let registers = entry_registers(instance.image.entry, memory.layout.boot, stack_top);
        self.vcpu.set_regs(&registers).map_err(Error::kvm("set registers"))?;

        let entered = Arc::new(AtomicU64::new(0));
        let spawn = spawn_phases(begun, self.tsc_hz, &phases);
        let marks = Marks::new(memory.guest.clone(), memory.layout.guest_page, spawn, entered.clone());
        let facts = Facts { image: instance.image.name(), memory: instance.memory };
        let Devices { taps, vhosts, calls, attaching } = self.connect(instance.nets, &memory)?;
        let layout = &memory.layout;
        let ring = ControlRing::new(&memory.guest, layout.control_page, layout.to_guest, layout.to_host);
        let free_memory = FreeMemory::new(memory.guest.clone(), layout.heap);
        let channel = GuestChannel { ring: ring.map_err(broken)?, marks, free_memory };
        self.finish(attaching)?;
        let signals = self.opened.signals.take();
        let signals = signals.ok_or_else(|| Error::Configuration("a machine is loaded once".into()))?;
        let served = Served {
            state: self.state.clone(),
            signals,
            grace: GRACE,
            console: options.common.console,
            channel,
            taps,
            vhosts,
            ports: Vec::new(),
            listener: self.opened.listener.take(),
            reporter,
            facts,
        };
        let io = Some(Io::new(served)?);
        Ok(Loaded { made: self, memory, boot, entered, io, calls })
    }

    /// Reads image and configuration, and refuses what does not fit together.
    fn check(&mut self, options: &Options, files: Files) -> Result<Instance, Error> {
        let Files { image, config, listeners } = files;
        let image = Image::from_file(image, options.image.clone())?;
        let name = options.config.as_ref().map_or("configuration".into(), |path| path.display().to_string());
        let config = config.map(|file| configuration(file, &name)).transpose()?;
        let memory = options.memory.unwrap_or(image.note.memory_default);
        image.accepts(memory, options.nets.len(), config.is_some())?;
        let level = self.processor.level();
        if image.note.cpu_level > level {
            return Err(Error::image(format!(
                "{} needs a processor of x86-64 level {}; this host's has level {level}",
                image.name(),
                image.note.cpu_level
            )));
        }
        let mut ends = std::mem::take(&mut self.opened.ends);
        if ends.is_empty() {
            ends = End::open_all(&options.nets, self.opened.connector.as_ref(), listeners)?;
        }
        let ends = ends.into_iter().zip(&options.nets).enumerate();
        let stop = || self.stopped();
        let wanted = image.note.net_features;
        let nets = ends.map(|(number, (end, net))| end.negotiate(number, net, wanted, &stop));
        let nets = nets.collect::<Result<_, _>>()?;
        let words = options.words.iter().flat_map(|w| w.bytes().chain([0])).collect();
        Ok(Instance { image, config: config.unwrap_or_default(), words, memory, nets })
    }

    /// Connects doorbells to queues. Back ends have been told all that they need.
    fn connect(&mut self, nets: Vec<OpenNet>, memory: &Memory) -> Result<Devices, Error> {
        let mut devices = Devices::default();
        for (number, (net, queues)) in nets.into_iter().zip(&memory.layout.queues).enumerate() {
            let kicks = [EventFd::new()?, EventFd::new()?];
            for (queue, kick) in queues.iter().zip(&kicks) {
                connect_doorbell(&self.vm, abi::registers::doorbell(queue.doorbell), kick)
                    .map_err(|source| Error::System { doing: "connect a doorbell", source })?;
            }
            let features = net.device.features;
            match net.carrier {
                Carrier::Tap(tap) => {
                    let device = TapNet::new(tap, &memory.guest, *queues, features).map_err(broken)?;
                    devices.taps.push(TapPort { number, device, kicks });
                }
                Carrier::Vhost(endpoint, session) => {
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
                    let mut port = Port { number, endpoint, device, health: health.clone() };
                    let attaching = port.begin(session);
                    devices.attaching.push(Starting { port, attaching, wait: net.wait });
                    devices.vhosts.push(VhostPort { number, health });
                }
            }
        }
        Ok(devices)
    }

    /// Waits until back ends are at work, and has a thread keep each. One that ends meanwhile is followed by another, if this
    /// side listens for it.
    fn finish(&mut self, attaching: Vec<Starting>) -> Result<(), Error> {
        for Starting { mut port, mut attaching, wait } in attaching {
            let deadline = Instant::now() + wait;
            let attached = loop {
                match attaching.and_then(Attaching::finish) {
                    Err(e) if e.is_gone() && port.endpoint.is_server() && Instant::now() < deadline => {
                        let left = deadline.saturating_duration_since(Instant::now());
                        let session = meet(&port.endpoint, None, left, &|| self.stopped());
                        attaching = session.and_then(|session| port.begin_again(session));
                    }
                    outcome => break outcome.map_err(|e| vhost_error(port.number, &e))?,
                }
            };
            self.threads.keeper()?.keep(port, attached);
        }
        Ok(())
    }

    /// The signal that asks for the end, if one has come.
    fn stopped(&self) -> Option<u8> {
        signals::next(self.opened.signals.as_ref()?).and_then(|s| u8::try_from(s).ok())
    }
}

impl Memory {
    /// Guest memory with everything but what depends on the virtual machine, and how long that took. What was made
    /// ahead is used.
    fn new(instance: &Instance, ahead: Option<(Region, OwnedFd)>) -> Result<(Self, Phases), Error> {
        let begun = Tsc::now();
        let Instance { image, config, words, memory, nets } = instance;
        let request = LayoutRequest {
            memory: *memory,
            command_line: words.len() as u64,
            config: config.len() as u64,
            queue_sizes: nets.iter().map(|n| n.queue).collect(),
        };
        let layout = Layout::new(image, &request)?;
        let (guest, file) = match ahead {
            Some(made) => made,
            None => guest_memory(*memory)?,
        };
        for range in layout.touched(image) {
            guest.populate(GuestPhys(range.base), range.length)?;
        }
        let memory_done = Tsc::now();
        let monitor = page_tables::build(image, &layout)?;
        let mapped = Region::file(GuestPhys(IMAGE_BASE), image.mapped_length(), &image.file)?;
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

/// The phases inside `spawn` that are over, in their order.
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
