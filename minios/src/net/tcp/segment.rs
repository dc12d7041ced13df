//! A TCP header (RFC 9293 section 3.1) and its options: end, no-op, MSS, window scale and timestamps (RFC 7323), selective
//! acknowledgements (RFC 2018).

use super::seq::Seq;

/// The sender has no more to send.
pub const FIN: u8 = 1;
/// Sequence numbers are to be agreed on.
pub const SYN: u8 = 2;
/// The connection does not exist, or no more.
pub const RST: u8 = 4;
/// The data is to be given to the program at once.
pub const PSH: u8 = 8;
/// The acknowledgement number counts.
pub const ACK: u8 = 16;

/// Bytes of a header without options.
pub const HEADER: usize = 20;
/// Bytes of the longest header.
pub const HEADER_MAXIMUM: usize = 60;
/// Blocks that an acknowledgement has room for beside time stamps.
pub const BLOCKS: usize = 3;
/// Bytes of the time stamps in each header.
pub const TIMESTAMPS: usize = 12;
/// The largest shift of a window (RFC 7323 section 2.3).
const SHIFT_MAXIMUM: u8 = 14;

/// A range of bytes that have arrived: the first, and the one behind the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// The first byte.
    pub start: Seq,
    /// The byte behind the last.
    pub end: Seq,
}

/// A header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Port of the sender.
    pub source: u16,
    /// Port of the receiver.
    pub destination: u16,
    /// Number of the first byte, or of the SYN before it.
    pub seq: Seq,
    /// Number of the next byte that the sender waits for; counts with [`ACK`].
    pub ack: Seq,
    /// [`FIN`], [`SYN`], [`RST`], [`PSH`], [`ACK`].
    pub flags: u8,
    /// Window, not shifted.
    pub window: u16,
    /// Largest segment that the sender takes, bytes.
    pub mss: Option<u16>,
    /// Shift of the sender's windows.
    pub window_scale: Option<u8>,
    /// The sender takes selective acknowledgements.
    pub sack_permitted: bool,
    /// The sender's time stamp, and the one that it has heard last.
    pub timestamps: Option<(u32, u32)>,
    /// What has arrived beyond `ack`, the latest first.
    pub blocks: [Block; BLOCKS],
    /// How many of `blocks` there are.
    pub block_count: u8,
}

fn word(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |b| u32::from_be_bytes(*b))
}

fn half(bytes: &[u8]) -> u16 {
    bytes.first_chunk().map_or(0, |b| u16::from_be_bytes(*b))
}

impl Segment {
    /// Reads a header; and where the data begins. `None`: it is malformed.
    pub fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let length = usize::from(bytes.get(12)? >> 4) * 4;
        if length < HEADER || bytes.len() < length {
            return None;
        }
        let mut segment = Self {
            source: half(bytes),
            destination: half(&bytes[2..]),
            seq: Seq(word(&bytes[4..])),
            ack: Seq(word(&bytes[8..])),
            flags: bytes[13] & (FIN | SYN | RST | PSH | ACK),
            window: half(&bytes[14..]),
            ..Self::default()
        };
        segment.parse_options(&bytes[HEADER..length]);
        Some((segment, length))
    }

    /// Reads options as far as they are well formed.
    fn parse_options(&mut self, mut options: &[u8]) {
        loop {
            let length = match options {
                [0, ..] | [] | [_] => return,
                [1, ..] => 1,
                [_, length, ..] => usize::from(*length).max(2),
            };
            let Some((option, rest)) = options.split_at_checked(length) else { return };
            match option {
                [2, 4, ..] => self.mss = Some(half(&option[2..])),
                [3, 3, shift] => self.window_scale = Some((*shift).min(SHIFT_MAXIMUM)),
                [4, 2] => self.sack_permitted = true,
                [5, _, blocks @ ..] => self.parse_blocks(blocks),
                [8, 10, ..] => self.timestamps = Some((word(&option[2..]), word(&option[6..]))),
                _ => {}
            }
            options = rest;
        }
    }

    fn parse_blocks(&mut self, bytes: &[u8]) {
        for block in bytes.chunks_exact(8) {
            self.add_block(Block { start: Seq(word(block)), end: Seq(word(&block[4..])) });
        }
    }

    /// Adds a block, if there is room.
    pub fn add_block(&mut self, block: Block) {
        if let Some(free) = self.blocks.get_mut(usize::from(self.block_count)) {
            *free = block;
            self.block_count += 1;
        }
    }

    /// The selective acknowledgements.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks[..usize::from(self.block_count).min(BLOCKS)]
    }

    /// Whether a flag is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Bytes of the header.
    pub fn header_length(&self) -> usize {
        let blocks = usize::from(self.block_count);
        HEADER
            + self.mss.map_or(0, |_| 4)
            + self.window_scale.map_or(0, |_| 4)
            + if self.sack_permitted { 4 } else { 0 }
            + self.timestamps.map_or(0, |_| TIMESTAMPS)
            + if blocks > 0 { 4 + 8 * blocks } else { 0 }
    }

    /// Writes the header, [`Segment::header_length`] bytes, with the checksum left zero.
    pub fn emit(&self, bytes: &mut [u8]) {
        let length = self.header_length();
        bytes[..2].copy_from_slice(&self.source.to_be_bytes());
        bytes[2..4].copy_from_slice(&self.destination.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.seq.0.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.ack.0.to_be_bytes());
        bytes[12] = (length as u8 / 4) << 4;
        bytes[13] = self.flags;
        bytes[14..16].copy_from_slice(&self.window.to_be_bytes());
        bytes[16..HEADER].fill(0);
        let mut at = HEADER;
        let mut put = |option: &[u8]| {
            bytes[at..at + option.len()].copy_from_slice(option);
            at += option.len();
        };
        if let Some(mss) = self.mss {
            put(&[2, 4]);
            put(&mss.to_be_bytes());
        }
        if let Some(shift) = self.window_scale {
            put(&[1, 3, 3, shift]);
        }
        if self.sack_permitted {
            put(&[1, 1, 4, 2]);
        }
        if let Some((own, heard)) = self.timestamps {
            put(&[1, 1, 8, 10]);
            put(&own.to_be_bytes());
            put(&heard.to_be_bytes());
        }
        if self.block_count > 0 {
            put(&[1, 1, 5, 2 + 8 * self.block_count]);
            for block in self.blocks() {
                put(&block.start.0.to_be_bytes());
                put(&block.end.0.to_be_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_segment() -> impl Strategy<Value = Segment> {
        let numbers = (any::<u16>(), any::<u16>(), any::<u32>(), any::<u32>(), 0u8..32, any::<u16>());
        let options = (any::<Option<u16>>(), prop::option::of(0u8..=14), any::<bool>());
        let lists = (any::<Option<(u32, u32)>>(), prop::collection::vec(any::<(u32, u32)>(), 0..=BLOCKS));
        (numbers, options, lists).prop_map(|(numbers, (mss, shift, sack_permitted), (stamps, blocks))| {
            let (source, destination, seq, ack, flags, window) = numbers;
            let (seq, ack) = (Seq(seq), Seq(ack));
            let mut segment = Segment { source, destination, seq, ack, flags, window, ..Segment::default() };
            // All at once do not fit, and are never sent at once.
            match blocks.is_empty() {
                true => {
                    (segment.mss, segment.window_scale, segment.sack_permitted) = (mss, shift, sack_permitted)
                }
                false => blocks
                    .iter()
                    .for_each(|&(start, end)| segment.add_block(Block { start: Seq(start), end: Seq(end) })),
            }
            segment.timestamps = stamps;
            segment
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn what_is_written_is_read(segment in any_segment()) {
            let mut bytes = [0; HEADER_MAXIMUM];
            segment.emit(&mut bytes);
            prop_assert_eq!(Segment::parse(&bytes), Some((segment, segment.header_length())));
        }

        #[test]
        fn nothing_that_comes_is_too_much(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some((segment, length)) = Segment::parse(&bytes) {
                prop_assert!(length <= bytes.len() && segment.blocks().len() <= BLOCKS);
            }
        }
    }
}
