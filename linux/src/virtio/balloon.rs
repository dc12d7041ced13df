//! The virtio balloon (virtio 1.2, 5.5): what the guest does not need goes back to the host. The guest reports its free
//! pages by itself; the balloon's size is not asked for, and stays 0.

use super::device::{Broken, Device, QueueSetup, Served, Source};
use super::ring::Ring;
use crate::layout::PAGE;
use crate::memory::Memory;
use machine::io::{Tokens, WatchSet};
use machine::memory::GuestPhys;

const QUEUE: u16 = 128;
const INFLATE: usize = 0;
const REPORT: usize = 2;
const FEATURE_REPORTING: u64 = 1 << 5;
/// Bytes of page numbers of one request.
const NUMBERS_MAXIMUM: usize = 4096;

/// The device.
#[derive(Default)]
pub struct Balloon {
    rings: Vec<Ring>,
    /// Pages that the guest says are in the balloon.
    actual: u32,
}

/// Gives the whole pages of a range back.
fn discard(memory: &Memory, address: u64, length: u64) {
    let first = address.next_multiple_of(PAGE);
    let end = address.saturating_add(length) & !(PAGE - 1);
    if first < end {
        // A range outside memory is nobody's.
        let _ = memory.region.discard(GuestPhys(first), end - first);
    }
}

impl Device for Balloon {
    fn kind(&self) -> u32 {
        5
    }

    fn features(&self) -> u64 {
        FEATURE_REPORTING
    }

    fn queues(&self) -> &'static [u16] {
        &[QUEUE; 3]
    }

    fn config(&self) -> Vec<u8> {
        [0u32.to_le_bytes(), self.actual.to_le_bytes()].concat()
    }

    fn write_config(&mut self, offset: u64, data: &[u8]) {
        if let (4, Ok(word)) = (offset, data.try_into()) {
            self.actual = u32::from_le_bytes(word);
        }
    }

    fn activate(&mut self, features: u64, queues: &[QueueSetup], memory: &Memory) -> Result<(), Broken> {
        let wanted = if features & FEATURE_REPORTING != 0 { 3 } else { 2 };
        if queues.len() != wanted {
            return Err(Broken(format!("a balloon with {} queues of {wanted}", queues.len())));
        }
        let rings = queues.iter().map(|queue| Ring::new(queue, QUEUE, features, memory));
        self.rings = rings.collect::<Result<_, _>>()?;
        Ok(())
    }

    fn reset(&mut self) {
        self.rings.clear();
        self.actual = 0;
    }

    fn serve(&mut self, source: Source, _: Tokens, _: &mut WatchSet) -> Result<Served, Broken> {
        let Source::Queue(number) = source else { return Ok(Served::default()) };
        let Some(ring) = self.rings.get_mut(number) else { return Ok(Served::default()) };
        ring.serve(|memory, chain| {
            for buffer in &chain.buffers {
                match number {
                    REPORT => discard(memory, buffer.address, buffer.length.into()),
                    INFLATE => {
                        for number in memory.bytes(buffer, NUMBERS_MAXIMUM).chunks_exact(4) {
                            let number = u32::from_le_bytes(*number.first_chunk().expect("four bytes"));
                            discard(memory, u64::from(number) * PAGE, PAGE);
                        }
                    }
                    // Pages that leave the balloon come back when they are touched.
                    _ => {}
                }
            }
            Ok(0)
        })
    }
}
