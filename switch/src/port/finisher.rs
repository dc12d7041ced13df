//! For ports that cannot take a packet as it is, or take it only in one piece: the bytes that go out, tagged, checksummed
//! and cut as needed.

use crate::counters::{Reason, Shared};
use crate::frame::{Batch, Frame};
use crate::offload::{Abilities, Finished, finish};

/// How many packets of the frame that is sent next have gone out already: a full queue may interrupt a frame that is cut
/// into several, which goes on where it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position(usize);

impl Position {
    /// Sends the packets of a frame that have not gone out yet: `produce` hands them all on, in order, and `send` takes one
    /// or says that there is no room. Whether all have gone out.
    pub fn resume(
        &mut self,
        produce: impl FnOnce(&mut dyn FnMut(&[u8])),
        mut send: impl FnMut(&[u8]) -> bool,
    ) -> bool {
        let (mut at, mut full) = (0, false);
        produce(&mut |packet| {
            full |= !full && at >= self.0 && !send(packet);
            at += usize::from(!full);
        });
        *self = if full { Self(at) } else { Self::default() };
        !full
    }
}

/// Memory for it.
#[derive(Default)]
pub struct Finisher {
    position: Position,
    whole: Vec<u8>,
    scratch: Vec<u8>,
    tagged: Vec<u8>,
}

impl Finisher {
    /// The next frame is another one than the one that was interrupted.
    pub fn forget_position(&mut self) {
        self.position = Position::default();
    }

    /// Sends the packets that a frame comes to, one after another; each for a port without any abilities. `emit` says
    /// whether there was room. Whether all have gone out: if not, the next call goes on where this one was.
    pub fn each(
        &mut self,
        batch: &Batch,
        frame: &Frame,
        vlan: u16,
        shared: &Shared,
        mut emit: impl FnMut(&[u8]) -> bool,
    ) -> bool {
        self.whole.clear();
        batch.copy_out(frame, 0, &mut self.whole);
        let tag = frame.tag_bytes(vlan);
        let tagged = &mut self.tagged;
        let mut tag_and_emit = |bytes: &[u8]| {
            if vlan == 0 || bytes.len() < 12 {
                return emit(bytes);
            }
            tagged.clear();
            tagged.extend_from_slice(&bytes[..12]);
            tagged.extend_from_slice(&tag);
            tagged.extend_from_slice(&bytes[12..]);
            emit(tagged)
        };
        let (whole, scratch) = (&mut self.whole, &mut self.scratch);
        let produce = |to: &mut dyn FnMut(&[u8])| {
            let able = Abilities::default();
            if finish(whole, frame.offload, able, scratch, &mut |bytes, _| to(bytes)) == Finished::Malformed {
                shared.count_drops(Reason::Malformed, 1);
            }
        };
        self.position.resume(produce, &mut tag_and_emit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_full_queue_interrupts_goes_on_where_it_was() {
        let packets: Vec<[u8; 1]> = (0..10).map(|n| [n]).collect();
        let (mut position, mut sent) = (Position::default(), Vec::new());
        // Room for three packets at a time: none is sent twice.
        for round in 0..4 {
            let mut room = 3;
            let all = position.resume(
                |to| packets.iter().for_each(|p| to(p)),
                |p| {
                    if room == 0 {
                        return false;
                    }
                    room -= 1;
                    sent.push(p[0]);
                    true
                },
            );
            assert_eq!(all, round == 3);
        }
        assert_eq!(sent, (0..10).collect::<Vec<u8>>());
        assert_eq!(position, Position::default());
    }
}
