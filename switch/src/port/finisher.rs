//! For ports that cannot take a packet as it is, or take it only in one piece: the bytes that go out, tagged, checksummed
//! and cut as needed.

use crate::counters::{Reason, Shared};
use crate::frame::{Batch, Frame};
use crate::offload::{Abilities, Finished, finish};

/// Memory for it.
#[derive(Default)]
pub struct Finisher {
    whole: Vec<u8>,
    scratch: Vec<u8>,
    tagged: Vec<u8>,
}

impl Finisher {
    /// The packets that a frame comes to, one after another; each for a port without any abilities.
    pub fn each(
        &mut self,
        batch: &Batch,
        frame: &Frame,
        vlan: u16,
        shared: &Shared,
        mut emit: impl FnMut(&[u8]),
    ) {
        self.whole.clear();
        batch.copy_out(frame, 0, &mut self.whole);
        let tag = frame.tag_bytes(vlan);
        let tagged = &mut self.tagged;
        let mut tag_and_emit = |bytes: &[u8], _| {
            if vlan == 0 || bytes.len() < 12 {
                return emit(bytes);
            }
            tagged.clear();
            tagged.extend_from_slice(&bytes[..12]);
            tagged.extend_from_slice(&tag);
            tagged.extend_from_slice(&bytes[12..]);
            emit(tagged);
        };
        let able = Abilities::default();
        let done = finish(&mut self.whole, frame.offload, able, &mut self.scratch, &mut tag_and_emit);
        if done == Finished::Malformed {
            shared.count_drops(Reason::Malformed, 1);
        }
    }
}
