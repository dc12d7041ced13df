//! What bridges tell each other (IEEE 802.1D-1998, chapters 8 and 9).

use crate::element::Nanos;
use crate::headers::ETHERNET;

/// Where bridges listen.
const ALL_BRIDGES: [u8; 6] = [0x01, 0x80, 0xc2, 0, 0, 0];
/// LLC header of a message.
const LLC: [u8; 3] = [0x42, 0x42, 3];
/// Where a message begins in its frame.
const START: usize = ETHERNET + LLC.len();
/// Bytes of a configuration message, and of one about a change.
const CONFIGURATION: usize = 35;
const CHANGE: usize = 4;
/// Bytes of the shortest frame.
const SHORTEST: usize = 60;
/// Flags: the topology changes; that this was said was heard.
const CHANGES: u8 = 1;
const HEARD: u8 = 0x80;
const SECOND: Nanos = 1_000_000_000;

/// Who may be root, and how far away it is. The least is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority {
    /// The root.
    pub root: u64,
    /// What the path to it costs.
    pub cost: u32,
    /// Who says so.
    pub bridge: u64,
    /// The port on which that was said.
    pub port: u16,
}

impl Priority {
    /// That of nobody.
    pub const WORST: Self = Self { root: u64::MAX, cost: u32::MAX, bridge: u64::MAX, port: u16::MAX };
}

/// Times that the root sets, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// How long a message counts.
    pub age: Nanos,
    /// Between two messages.
    pub hello: Nanos,
    /// How long a port listens, and how long it learns.
    pub delay: Nanos,
}

impl Default for Times {
    /// The standard's (table 8-3).
    fn default() -> Self {
        Self { age: 20 * SECOND, hello: 2 * SECOND, delay: 15 * SECOND }
    }
}

/// A configuration message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// What it says of the root.
    pub priority: Priority,
    /// How old what it says is, nanoseconds.
    pub age: Nanos,
    /// The root's times.
    pub times: Times,
    /// The topology changes: addresses are to be forgotten soon.
    pub changes: bool,
    /// That a change was told was heard.
    pub heard: bool,
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Says who is root.
    Configuration(Configuration),
    /// Tells the root that the topology changes.
    Change,
}

/// Seconds as the standard writes them: in units of 1/256.
fn to_wire(time: Nanos) -> [u8; 2] {
    u16::try_from(time.saturating_mul(256) / SECOND).unwrap_or(u16::MAX).to_be_bytes()
}

impl Message {
    /// Reads a frame; `None`: it is no message of the standard. Times are within what the standard allows (table 8-3).
    pub fn read(frame: &[u8]) -> Option<Self> {
        let message = frame.get(START..)?;
        if frame[ETHERNET..START] != LLC || message.get(..3)? != [0, 0, message[2]] {
            return None;
        }
        match message.get(3)? {
            0x80 => return Some(Self::Change),
            0 => {}
            _ => return None,
        }
        let m: &[u8; CONFIGURATION] = message.first_chunk()?;
        let eight = |at: usize| u64::from_be_bytes(core::array::from_fn(|i| m[at + i]));
        let time = |at: usize| Nanos::from(u16::from_be_bytes([m[at], m[at + 1]])) * SECOND / 256;
        let times = Times {
            age: time(29).clamp(6 * SECOND, 40 * SECOND),
            hello: time(31).clamp(SECOND, 10 * SECOND),
            delay: time(33).clamp(4 * SECOND, 30 * SECOND),
        };
        let priority = Priority {
            root: eight(5),
            cost: u32::from_be_bytes([m[13], m[14], m[15], m[16]]),
            bridge: eight(17),
            port: u16::from_be_bytes([m[25], m[26]]),
        };
        let (changes, heard) = (m[4] & CHANGES != 0, m[4] & HEARD != 0);
        Some(Self::Configuration(Configuration { priority, age: time(27), times, changes, heard }))
    }

    /// Its frame.
    pub fn frame(&self, source: [u8; 6]) -> [u8; SHORTEST] {
        let mut frame = [0; SHORTEST];
        frame[..6].copy_from_slice(&ALL_BRIDGES);
        frame[6..12].copy_from_slice(&source);
        frame[ETHERNET..START].copy_from_slice(&LLC);
        let m = &mut frame[START..];
        let length = match self {
            Self::Change => {
                m[3] = 0x80;
                CHANGE
            }
            Self::Configuration(c) => {
                m[4] = if c.changes { CHANGES } else { 0 } | if c.heard { HEARD } else { 0 };
                m[5..13].copy_from_slice(&c.priority.root.to_be_bytes());
                m[13..17].copy_from_slice(&c.priority.cost.to_be_bytes());
                m[17..25].copy_from_slice(&c.priority.bridge.to_be_bytes());
                m[25..27].copy_from_slice(&c.priority.port.to_be_bytes());
                let times = [c.age, c.times.age, c.times.hello, c.times.delay];
                times.iter().enumerate().for_each(|(n, &time)| {
                    m[27 + 2 * n..29 + 2 * n].copy_from_slice(&to_wire(time));
                });
                CONFIGURATION
            }
        };
        frame[12..14].copy_from_slice(&((LLC.len() + length) as u16).to_be_bytes());
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_message_is_read_as_it_was_written(
            root: u64, cost: u32, bridge: u64, port: u16, age in 0u64..20, changes: bool, heard: bool,
        ) {
            let priority = Priority { root, cost, bridge, port };
            let times = Times::default();
            let message =
                Message::Configuration(Configuration { priority, age: age * SECOND, times, changes, heard });
            prop_assert_eq!(Message::read(&message.frame([2; 6])), Some(message));
        }

        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Message::read(&bytes);
        }
    }
}
