//! What makes packets of its own.

mod fast_source;
mod infinite_source;
mod random_source;
mod rated_source;
mod timed_source;

pub use fast_source::{FastTCPFlows, FastUDPFlows, FastUDPSource};
pub use infinite_source::InfiniteSource;
pub use random_source::RandomSource;
pub use rated_source::RatedSource;
pub use timed_source::TimedSource;

use crate::args::{Args, Data};
use crate::element::Context;
use crate::handlers::parse;
use crate::packet::Batch;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// What sources send when they are not told what: as many bytes as Click's.
const TEXT: &[u8] = b"A packet that means nothing in particular, made to be counted or lost";

/// What all sources have: the packet to send, how often, and what happens then.
pub(super) struct Pattern {
    data: Vec<u8>,
    /// `data`, cut or filled with zeros to the LENGTH that was asked for.
    sent: Vec<u8>,
    length: i64,
    pub(super) limit: i64,
    pub(super) count: u64,
    pub(super) active: bool,
    stop: bool,
    end_call: Option<String>,
    ended: bool,
    /// Packets get the time at which they are made.
    stamps: bool,
}

impl Pattern {
    pub(super) fn new(args: &mut Args<'_>, data: Option<Data>, limit: i64, active: bool) -> Self {
        let data = data.map_or_else(|| TEXT.to_vec(), |d| d.0);
        let length = args.key::<u32>("LENGTH").or_else(|| args.key("DATASIZE")).map_or(-1, i64::from);
        args.ignored("HEADROOM");
        let stamps = args.key("TIMESTAMP").unwrap_or(true);
        if length > crate::packet::LARGEST as i64 || data.len() > crate::packet::LARGEST {
            args.error("packet too long");
        }
        let mut pattern = Self {
            data,
            sent: Vec::new(),
            length: length.min(crate::packet::LARGEST as i64),
            limit,
            count: 0,
            active,
            stop: args.key("STOP").unwrap_or(false),
            end_call: args.key("END_CALL"),
            stamps,
            ended: false,
        };
        pattern.cut();
        pattern
    }

    fn cut(&mut self) {
        self.sent = self.data.clone();
        if let Ok(length) = usize::try_from(self.length) {
            self.sent.resize(length, 0);
        }
    }

    /// Bytes of each packet.
    pub(super) fn len(&self) -> usize {
        self.sent.len()
    }

    /// Packets that may still be sent.
    #[inline]
    pub(super) fn left(&self) -> u64 {
        if !self.active {
            return 0;
        }
        u64::try_from(self.limit).map_or(u64::MAX, |l| l.saturating_sub(self.count))
    }

    /// At most `n` packets, stamped with the time.
    #[inline]
    pub(super) fn make(&mut self, cx: &mut Context<'_>, n: u64) -> Batch {
        let mut batch = Batch::empty_packets(cx.at_once(n.min(self.left()) as usize));
        let now = if self.stamps { cx.host.wall_clock() } else { 0 };
        batch.retain_or_else(
            |packet| {
                packet.set_timestamp(now);
                packet.put_slice(&self.sent).is_some()
            },
            drop,
        );
        self.count += batch.len() as u64;
        batch
    }

    /// After the last packet: stops the router or calls a handler, once.
    pub(super) fn end(&mut self, cx: &mut Context<'_>) {
        if !self.active || self.left() > 0 || core::mem::replace(&mut self.ended, true) {
            return;
        }
        if let Some(call) = &self.end_call {
            cx.call(call);
        }
        if self.stop {
            cx.stop();
        }
    }

    pub(super) fn read(&self, handler: &str) -> String {
        match handler {
            "active" => self.active.to_string(),
            "count" => self.count.to_string(),
            "limit" => self.limit.to_string(),
            "length" | "datasize" => self.length.to_string(),
            _ => String::from_utf8_lossy(&self.data).into_owned(),
        }
    }

    pub(super) fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "active" => self.active = parse(cx, value)?,
            "limit" => self.limit = parse(cx, value)?,
            "length" | "datasize" => {
                let length: i64 = parse(cx, value)?;
                if length > crate::packet::LARGEST as i64 {
                    return Err("packet too long".to_string());
                }
                self.length = length;
                self.cut();
            }
            "data" => {
                self.data = parse::<Data>(cx, value)?.0;
                self.data.truncate(crate::packet::LARGEST);
                self.cut();
            }
            _ => self.count = 0,
        }
        self.ended &= self.left() == 0;
        Ok(())
    }
}
