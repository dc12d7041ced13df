//! The virtio entropy device (virtio 1.2, 5.4): random bytes of the host.

use super::device::{Broken, Device, QueueSetup, Served, Source};
use super::ring::Ring;
use crate::memory::Memory;
use machine::error::Error;
use machine::io::{Tokens, WatchSet};
use std::fs::File;
use std::io::Read;

const QUEUE: u16 = 16;
/// Bytes of one request that are filled in; a driver asks for more if it needs more.
const REQUEST_MAXIMUM: usize = 256;

/// The device.
pub struct Rng {
    source: File,
    ring: Option<Ring>,
}

impl Rng {
    /// Opens the host's source.
    pub fn open() -> Result<Self, Error> {
        let source = File::open("/dev/urandom");
        let source = source.map_err(|source| Error::System { doing: "open /dev/urandom", source })?;
        Ok(Self { source, ring: None })
    }
}

impl Device for Rng {
    fn kind(&self) -> u32 {
        4
    }

    fn features(&self) -> u64 {
        0
    }

    fn queues(&self) -> &'static [u16] {
        &[QUEUE]
    }

    fn config(&self) -> Vec<u8> {
        Vec::new()
    }

    fn activate(&mut self, features: u64, queues: &[QueueSetup], memory: &Memory) -> Result<(), Broken> {
        let [queue] = queues else { return Err(Broken("an entropy device has one queue".into())) };
        self.ring = Some(Ring::new(queue, QUEUE, features, memory)?);
        Ok(())
    }

    fn reset(&mut self) {
        self.ring = None;
    }

    fn serve(&mut self, _: Source, _: Tokens, _: &mut WatchSet) -> Result<Served, Broken> {
        let Some(ring) = &mut self.ring else { return Ok(Served::default()) };
        let source = &mut self.source;
        ring.serve(|memory, chain| {
            let mut bytes = [0; REQUEST_MAXIMUM];
            // A source that fails gives nothing, which the driver sees.
            let read = source.read(&mut bytes).unwrap_or(0);
            let Some(buffer) = chain.buffers.iter().find(|b| b.writable) else { return Ok(0) };
            Ok(memory.fill(buffer, &bytes[..read]) as u32)
        })
    }
}
