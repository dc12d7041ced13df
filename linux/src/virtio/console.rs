//! The virtio console (virtio 1.2, 5.3), of one port: `hvc0` in the guest.

use super::device::{Broken, Device, QueueSetup, Served, Source};
use super::ring::Ring;
use super::transport::event_token;
use crate::memory::Memory;
use machine::error::Error;
use machine::eventfd::EventFd;
use machine::io::{Interest, Tokens, WatchSet};
use machine::vcpu::VcpuState;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

const QUEUE: u16 = 64;
const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;
/// Bytes kept of either direction.
const BUFFER_MAXIMUM: usize = 64 << 10;
/// Bytes taken of one chain. More in one is cut off.
const CHAIN_MAXIMUM: usize = 64 << 10;

/// Both directions between the device and the console's other end.
pub struct ConsoleBuffers {
    /// From the guest.
    output: Mutex<VecDeque<u8>>,
    /// To the guest.
    input: Mutex<VecDeque<u8>>,
    /// Signalled when there is input.
    input_ready: EventFd,
    /// Its doorbell tells the I/O thread that there is output.
    state: Arc<VcpuState>,
    /// Whether the guest has sent anything.
    used: AtomicBool,
}

impl ConsoleBuffers {
    /// Lines without anything in them.
    pub fn new(state: &Arc<VcpuState>) -> Result<Self, Error> {
        Ok(Self {
            output: Mutex::default(),
            input: Mutex::default(),
            input_ready: EventFd::new()?,
            state: state.clone(),
            used: AtomicBool::new(false),
        })
    }

    /// Whether the guest has sent anything.
    pub fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes what the guest has sent.
    pub fn take_output(&self) -> Vec<u8> {
        self.output.lock().expect("no thread panics with the lock").drain(..).collect()
    }

    /// Types; `false` if too much waits already.
    pub fn write_input(&self, bytes: &[u8]) -> bool {
        let mut input = self.input.lock().expect("no thread panics with the lock");
        if input.len() + bytes.len() > BUFFER_MAXIMUM {
            return false;
        }
        input.extend(bytes);
        self.input_ready.signal();
        true
    }
}

/// The device.
pub struct Console {
    buffers: Arc<ConsoleBuffers>,
    rings: Option<[Ring; 2]>,
}

impl Console {
    /// A device between the guest and these lines.
    pub fn new(lines: Arc<ConsoleBuffers>) -> Self {
        Self { buffers: lines, rings: None }
    }

    fn transmit(&mut self) -> Result<Served, Broken> {
        let Some([_, ring]) = &mut self.rings else { return Ok(Served::default()) };
        let lines = &self.buffers;
        let mut output = lines.output.lock().expect("no thread panics with the lock");
        let empty = output.is_empty();
        let served = ring.serve(|memory, chain| {
            for buffer in chain.buffers.iter().filter(|b| !b.writable) {
                output.extend(memory.bytes(buffer, CHAIN_MAXIMUM));
            }
            let over = output.len().saturating_sub(BUFFER_MAXIMUM);
            output.drain(..over);
            Ok(0)
        });
        if empty && !output.is_empty() {
            lines.used.store(true, Ordering::Relaxed);
            lines.state.doorbell.signal();
        }
        served
    }

    fn receive(&mut self) -> Result<bool, Broken> {
        let Some([ring, _]) = &mut self.rings else { return Ok(false) };
        let mut input = self.buffers.input.lock().expect("no thread panics with the lock");
        while !input.is_empty() {
            let Some(chain) = ring.take()? else {
                if ring.arm()? {
                    continue;
                }
                break;
            };
            let mut written = 0;
            for buffer in chain.buffers.iter().filter(|b| b.writable) {
                let taken = ring.memory().fill(buffer, input.make_contiguous());
                input.drain(..taken);
                written += taken as u32;
            }
            ring.add_used(chain.head, written)?;
        }
        ring.wants_call()
    }
}

impl Device for Console {
    fn kind(&self) -> u32 {
        3
    }

    fn features(&self) -> u64 {
        0
    }

    fn queues(&self) -> &'static [u16] {
        &[QUEUE; 2]
    }

    fn config(&self) -> Vec<u8> {
        Vec::new()
    }

    fn activate(&mut self, features: u64, queues: &[QueueSetup], memory: &Memory) -> Result<(), Broken> {
        let [receive, transmit] = queues else { return Err(Broken("a console has two queues".into())) };
        let ring = |setup| Ring::new(setup, QUEUE, features, memory);
        self.rings = Some([ring(receive)?, ring(transmit)?]);
        Ok(())
    }

    fn reset(&mut self) {
        self.rings = None;
        self.buffers.used.store(false, Ordering::Relaxed);
    }

    fn watch(&mut self, tokens: Tokens, watch: &mut WatchSet) {
        // An eventfd can always be waited for.
        let _ = watch.set(event_token(tokens, 0), &self.buffers.input_ready, Interest::Read);
    }

    fn serve(&mut self, source: Source, _: Tokens, _: &mut WatchSet) -> Result<Served, Broken> {
        if source == Source::Queue(TRANSMIT) {
            return self.transmit();
        }
        if source != Source::Queue(RECEIVE) {
            self.buffers.input_ready.clear();
        }
        Ok(Served::with_call(self.receive()?))
    }

    fn finish(&mut self) {
        // What a broken queue holds no longer matters.
        let _ = self.transmit();
    }
}
