//! Virtio over memory-mapped registers (virtio 1.2, 4.2). A slot is one device with its registers: the vCPU threads store
//! to them, the I/O thread serves the queues. Both hold the slot's lock meanwhile, so that a device that was reset
//! touches nothing any more; only what an interrupt takes goes without it.

use super::device::{Broken, Device, QueueSetup, Served, Source};
use crate::layout::{DEVICE_INTERRUPTS, DEVICES, PAGE};
use crate::memory::Memory;
use kvm_ioctls::VmFd;
use machine::ending::Ending;
use machine::error::Error;
use machine::eventfd::EventFd;
use machine::host::ioctls::{connect_interrupt, connect_queue};
use machine::io::{Interest, Port, Tokens, WatchSet};
use machine::net::Counters;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// "virt".
const MAGIC: u32 = 0x7472_6976;
const VERSION: u32 = 2;
/// "MVIS".
const VENDOR: u32 = 0x5349_564d;

const FEATURE_EVENT_IDX: u64 = 1 << 29;
const FEATURE_VERSION_1: u64 = 1 << 32;

const STATUS_FEATURES_OK: u32 = 8;
const STATUS_DRIVER_OK: u32 = 4;
const STATUS_NEEDS_RESET: u32 = 64;
const STATUS_FAILED: u32 = 128;

/// Reasons for an interrupt: used buffers, and a change of the configuration.
const USED: u32 = 1;
const CONFIG: u32 = 2;

/// Number of the token for a device that was activated or reset; queues come before it, own descriptors behind.
const CONFIGURATION_CHANGED: u64 = 32;
const EVENTS: u64 = CONFIGURATION_CHANGED + 1;

/// A device and its registers.
pub struct Slot {
    inner: Mutex<Inner>,
    memory: Memory,
    /// Raises the device's interrupt.
    pub interrupt: EventFd,
    /// Reasons for an interrupt that the driver has not acknowledged. It always reads as having used buffers: who works on
    /// the queues from another process raises the interrupt without this one, and an interrupt without reason does no harm.
    reasons: AtomicU32,
    /// One eventfd for each queue, which its doorbell signals.
    pub kicks: Vec<EventFd>,
    /// To the I/O thread: the device was activated or reset.
    changed: EventFd,
    /// A buffer was used since an interrupt was last raised: written by none but the I/O thread.
    lost: AtomicBool,
}

struct Inner {
    device: Box<dyn Device>,
    status: u32,
    /// Halves of the features that the two registers show.
    offered_half: u32,
    accepted_half: u32,
    accepted: u64,
    queue: usize,
    queues: Vec<QueueRegisters>,
    /// Changes of the configuration.
    generation: u32,
    active: bool,
}

#[derive(Clone, Copy, Default)]
struct QueueRegisters {
    setup: QueueSetup,
    ready: bool,
}

impl Slot {
    /// A device as it is before any driver has found it.
    pub fn new(device: Box<dyn Device>, memory: &Memory) -> Result<Self, Error> {
        let count = device.queues().len();
        let kicks = (0..count).map(|_| EventFd::new()).collect::<Result<Vec<_>, _>>()?;
        let inner = Inner {
            queues: vec![QueueRegisters::default(); device.queues().len()],
            device,
            status: 0,
            offered_half: 0,
            accepted_half: 0,
            accepted: 0,
            queue: 0,
            generation: 0,
            active: false,
        };
        Ok(Self {
            inner: Mutex::new(inner),
            memory: memory.clone(),
            interrupt: EventFd::new()?,
            reasons: AtomicU32::new(0),
            kicks,
            changed: EventFd::new()?,
            lost: AtomicBool::new(false),
        })
    }

    /// Connects doorbells and interrupt, for the device `number`.
    pub fn connect(&self, vm: &VmFd, number: usize) -> Result<(), Error> {
        let failed = |source| Error::System { doing: "connect a device", source };
        let notify = DEVICES + number as u64 * PAGE + register::QUEUE_NOTIFY;
        for (queue, kick) in self.kicks.iter().enumerate() {
            connect_queue(vm, notify, queue as u32, kick).map_err(failed)?;
        }
        connect_interrupt(vm, &self.interrupt, DEVICE_INTERRUPTS + number as u32).map_err(failed)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no thread panics with the lock")
    }

    /// A load from a register, or from the configuration space.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        if let Some(at) = offset.checked_sub(register::CONFIG) {
            let config = self.lock().device.config();
            for (i, byte) in data.iter_mut().enumerate() {
                *byte = config.get(at as usize + i).copied().unwrap_or(0);
            }
            return;
        }
        if let Some(word) = data.first_chunk_mut() {
            *word = self.register(offset).to_le_bytes();
        }
    }

    fn register(&self, offset: u64) -> u32 {
        match offset {
            register::MAGIC => return MAGIC,
            register::VERSION => return VERSION,
            register::VENDOR => return VENDOR,
            register::INTERRUPT_STATUS => return self.reasons.load(Ordering::Acquire) | USED,
            _ => {}
        }
        let inner = self.lock();
        let queue = inner.queues.get(inner.queue);
        match offset {
            register::DEVICE => inner.device.kind(),
            register::OFFERED => match inner.offered_half {
                0 => inner.offered() as u32,
                1 => (inner.offered() >> 32) as u32,
                _ => 0,
            },
            register::QUEUE_MAXIMUM => {
                inner.device.queues().get(inner.queue).copied().unwrap_or_default().into()
            }
            register::QUEUE_READY => queue.is_some_and(|q| q.ready).into(),
            register::STATUS => inner.status,
            register::GENERATION => inner.generation,
            // No shared memory.
            register::SHARED_LENGTH_LOW..=register::SHARED_BASE_HIGH => u32::MAX,
            _ => 0,
        }
    }

    /// A store to a register, or to the configuration space.
    pub fn write(&self, offset: u64, data: &[u8]) {
        if let Some(at) = offset.checked_sub(register::CONFIG) {
            self.lock().device.write_config(at, data);
            self.changed.signal();
            return;
        }
        let Some(value) = data.first_chunk().map(|word| u32::from_le_bytes(*word)) else { return };
        match offset {
            register::INTERRUPT_ACKNOWLEDGE => {
                self.reasons.fetch_and(!value, Ordering::AcqRel);
            }
            register::STATUS if value == 0 => self.reset(),
            register::STATUS => self.set_status(value),
            // Doorbells come here only where the value is no queue's.
            register::QUEUE_NOTIFY => {}
            _ => self.lock().write(offset, value),
        }
    }

    /// Resets the device (virtio 1.2, 2.4).
    pub fn reset(&self) {
        let mut inner = self.lock();
        inner.device.reset();
        inner.status = 0;
        inner.active = false;
        (inner.offered_half, inner.accepted_half, inner.accepted, inner.queue) = (0, 0, 0, 0);
        inner.queues.fill(QueueRegisters::default());
        self.reasons.store(0, Ordering::Release);
        self.changed.signal();
    }

    fn set_status(&self, value: u32) {
        let mut inner = self.lock();
        let added = value & !inner.status;
        inner.status |= value & !STATUS_NEEDS_RESET;
        if added & STATUS_FEATURES_OK != 0
            && (inner.accepted & !inner.offered() != 0 || inner.accepted & FEATURE_VERSION_1 == 0)
        {
            inner.status &= !STATUS_FEATURES_OK;
        }
        let begins = added & STATUS_DRIVER_OK != 0 && inner.status & STATUS_FEATURES_OK != 0;
        if begins && inner.status & STATUS_FAILED == 0 && !inner.active {
            let setups: Vec<QueueSetup> = inner.queues.iter().filter(|q| q.ready).map(|q| q.setup).collect();
            let accepted = inner.accepted;
            match inner.device.activate(accepted, &setups, &self.memory) {
                Ok(()) => inner.active = true,
                Err(broken) => self.stop(&mut inner, &broken),
            }
            self.changed.signal();
        }
    }

    /// The driver has broken a rule: the device does nothing any more until it is reset (virtio 1.2, 2.1.2).
    fn stop(&self, inner: &mut Inner, _why: &Broken) {
        inner.device.reset();
        inner.active = false;
        inner.status |= STATUS_NEEDS_RESET;
        self.configuration_changed();
    }

    /// Tells the driver that the configuration has changed.
    fn configuration_changed(&self) {
        self.reasons.fetch_or(CONFIG, Ordering::AcqRel);
        self.interrupt.signal();
    }

    /// Changes something about the device and tells the driver to read the configuration again.
    pub fn change(&self, change: impl FnOnce(&mut dyn Device)) {
        let mut inner = self.lock();
        change(&mut *inner.device);
        inner.generation = inner.generation.wrapping_add(1);
        self.configuration_changed();
    }

    fn serve_source(&self, source: Source, tokens: Tokens, watch: &mut WatchSet) -> Option<String> {
        let mut inner = self.lock();
        if !inner.active {
            return None;
        }
        match inner.device.serve(source, tokens, watch) {
            Ok(Served { call, more, failure }) => {
                if more {
                    watch.mark_ready(token_of(source, tokens));
                }
                if call {
                    self.interrupt.signal();
                }
                failure.filter(|_| !self.lost.swap(true, Ordering::Relaxed))
            }
            Err(broken) => {
                self.stop(&mut inner, &broken);
                inner.device.watch(tokens, watch);
                None
            }
        }
    }
}

impl Inner {
    fn offered(&self) -> u64 {
        let event_index = if self.device.has_event_index() { FEATURE_EVENT_IDX } else { 0 };
        self.device.features() | FEATURE_VERSION_1 | event_index
    }

    fn write(&mut self, offset: u64, value: u32) {
        let configuring = self.status & STATUS_DRIVER_OK == 0;
        let half = |old: u64, which: u32| match which {
            0 => old >> 32 << 32 | u64::from(value),
            _ => old & u64::from(u32::MAX) | u64::from(value) << 32,
        };
        match offset {
            register::OFFERED_HALF => return self.offered_half = value,
            register::ACCEPTED_HALF => return self.accepted_half = value,
            register::QUEUE => return self.queue = value as usize,
            register::ACCEPTED if self.status & STATUS_FEATURES_OK == 0 && self.accepted_half < 2 => {
                return self.accepted = half(self.accepted, self.accepted_half);
            }
            _ => {}
        }
        let Some(queue) = self.queues.get_mut(self.queue).filter(|_| configuring) else { return };
        let setup = &mut queue.setup;
        match offset {
            register::QUEUE_SIZE => setup.size = value as u16,
            register::QUEUE_READY => queue.ready = value == 1,
            register::DESCRIPTORS_LOW => setup.descriptors = half(setup.descriptors, 0),
            register::DESCRIPTORS_HIGH => setup.descriptors = half(setup.descriptors, 1),
            register::AVAILABLE_LOW => setup.available = half(setup.available, 0),
            register::AVAILABLE_HIGH => setup.available = half(setup.available, 1),
            register::USED_LOW => setup.used = half(setup.used, 0),
            register::USED_HIGH => setup.used = half(setup.used, 1),
            _ => {}
        }
    }
}

/// A slot as the I/O thread serves it.
pub struct Service(pub Arc<Slot>);

impl Port for Service {
    fn watch(&mut self, tokens: Tokens, watch: &mut WatchSet) -> io::Result<()> {
        let elsewhere = self.0.lock().device.is_external();
        for (queue, kick) in self.0.kicks.iter().enumerate().filter(|_| !elsewhere) {
            watch.set(tokens.token(queue as u64), kick, Interest::Read)?;
        }
        watch.set(tokens.token(CONFIGURATION_CHANGED), &self.0.changed, Interest::Read)
    }

    fn serve(&mut self, source: u64, tokens: Tokens, watch: &mut WatchSet) -> Result<Option<String>, Ending> {
        let slot = &self.0;
        if source != CONFIGURATION_CHANGED {
            let source = match source {
                queue @ 0..CONFIGURATION_CHANGED => {
                    let Some(kick) = slot.kicks.get(queue as usize) else { return Ok(None) };
                    kick.clear();
                    Source::Queue(queue as usize)
                }
                own => Source::Event(own - EVENTS),
            };
            return Ok(slot.serve_source(source, tokens, watch));
        }
        slot.changed.clear();
        slot.lock().device.watch(tokens, watch);
        let queues = slot.kicks.len();
        Ok((0..queues).filter_map(|queue| slot.serve_source(Source::Queue(queue), tokens, watch)).last())
    }

    fn finish(&mut self) {
        let mut inner = self.0.lock();
        if inner.active {
            inner.device.finish();
        }
    }

    fn counters(&self) -> Option<(usize, Counters)> {
        self.0.lock().device.counters()
    }
}

fn token_of(source: Source, tokens: Tokens) -> u64 {
    match source {
        Source::Queue(number) => tokens.token(number as u64),
        Source::Event(number) => event_token(tokens, number),
    }
}

/// A token for a descriptor of a device's own.
pub fn event_token(tokens: Tokens, number: u64) -> u64 {
    tokens.token(EVENTS + number)
}

/// Offsets of the registers (virtio 1.2, 4.2.2).
pub mod register {
    #![allow(missing_docs)]
    pub const MAGIC: u64 = 0x0;
    pub const VERSION: u64 = 0x4;
    pub const DEVICE: u64 = 0x8;
    pub const VENDOR: u64 = 0xc;
    pub const OFFERED: u64 = 0x10;
    pub const OFFERED_HALF: u64 = 0x14;
    pub const ACCEPTED: u64 = 0x20;
    pub const ACCEPTED_HALF: u64 = 0x24;
    pub const QUEUE: u64 = 0x30;
    pub const QUEUE_MAXIMUM: u64 = 0x34;
    pub const QUEUE_SIZE: u64 = 0x38;
    pub const QUEUE_READY: u64 = 0x44;
    pub const QUEUE_NOTIFY: u64 = 0x50;
    pub const INTERRUPT_STATUS: u64 = 0x60;
    pub const INTERRUPT_ACKNOWLEDGE: u64 = 0x64;
    pub const STATUS: u64 = 0x70;
    pub const DESCRIPTORS_LOW: u64 = 0x80;
    pub const DESCRIPTORS_HIGH: u64 = 0x84;
    pub const AVAILABLE_LOW: u64 = 0x90;
    pub const AVAILABLE_HIGH: u64 = 0x94;
    pub const USED_LOW: u64 = 0xa0;
    pub const USED_HIGH: u64 = 0xa4;
    pub const SHARED_LENGTH_LOW: u64 = 0xb0;
    pub const SHARED_BASE_HIGH: u64 = 0xbc;
    pub const GENERATION: u64 = 0xfc;
    pub const CONFIG: u64 = 0x100;
}
