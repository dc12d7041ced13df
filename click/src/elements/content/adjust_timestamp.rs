use super::FIRST_TIMESTAMP;
use crate::args::{Args, parse_time, seconds};
use crate::element::{Context, Element, read_write};
use crate::packet::{Batch, Packet};
use alloc::format;
use alloc::string::String;

crate::element! {
    /// Moves packets' timestamps by a time.
    ///
    /// # Arguments
    /// `TIME` or `DELTA`: seconds, which may be negative; times before 1970 are negative too. `ALL` (false): also
    /// timestamps of zero, which are none. `FIRST` (false): move the first timestamp
    /// annotation instead.
    ///
    /// # Handlers
    /// `time`, `delta`: the argument.
    AdjustTimestamp "1/1" "a/a"
    keywords ["TIME", "DELTA", "ALL", "FIRST"]
    handlers [read_write("time"), read_write("delta")]
    { delta: i64, all: bool, first: bool }
}

fn delta(text: &str) -> Result<i64, String> {
    let text = text.trim();
    let (number, sign) = match text.strip_prefix('-') {
        Some(rest) => (rest, -1),
        None => (text.strip_prefix('+').unwrap_or(text), 1),
    };
    let time = parse_time(number).and_then(|t| i64::try_from(t).ok());
    time.map(|t| t * sign).ok_or_else(|| format!("expected a time in seconds, not '{text}'"))
}

/// The first timestamp annotation.
fn first(packet: &mut Packet) -> u64 {
    u64::from_ne_bytes(core::array::from_fn(|i| packet.user()[FIRST_TIMESTAMP + i]))
}

impl AdjustTimestamp {
    fn new(args: &mut Args<'_>) -> Self {
        let text: String = args.key("DELTA").unwrap_or_else(|| args.required("TIME"));
        let delta = delta(&text).unwrap_or_else(|message| {
            args.error(format!("TIME: {message}"));
            0
        });
        Self { delta, all: args.key("ALL").unwrap_or(false), first: args.key("FIRST").unwrap_or(false) }
    }
}

impl Element for AdjustTimestamp {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| {
            let time = if self.first { first(packet) } else { packet.timestamp() } as i64;
            if time == 0 && !self.all {
                return;
            }
            let time = time.saturating_add(self.delta) as u64;
            if self.first {
                packet.user()[FIRST_TIMESTAMP..][..8].copy_from_slice(&time.to_ne_bytes());
            } else {
                packet.set_timestamp(time);
            }
        });
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        let sign = if self.delta < 0 { "-" } else { "" };
        Ok(format!("{sign}{}", seconds(self.delta.unsigned_abs())))
    }

    fn write(&mut self, _: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        self.delta = delta(value)?;
        Ok(())
    }
}
