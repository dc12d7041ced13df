use crate::args::{Args, Time};
use crate::decimal::decimal;
use crate::element::{Context, Element, Nanos, read, write};
use crate::packet::Batch;
use alloc::string::{String, ToString};

crate::element! {
    /// Counts packets and bytes, and how many there are a second over all its time.
    ///
    /// # Arguments
    /// `IGNORE` (0 s): time after the first packet that does not count for the rates.
    ///
    /// # Handlers
    /// `count`, `byte_count`: packets and bytes so far. `rate`, `byte_rate`: the same a second, from the first that
    /// counts to the last. `reset`: starts again.
    AverageCounter "1/1" "a/a"
    keywords ["IGNORE"]
    handlers [read("count"), read("byte_count"), read("rate"), read("byte_rate"), write("reset")]
    { ignore: Nanos, seen: Seen }
}

#[derive(Default)]
struct Seen {
    count: u64,
    bytes: u64,
    /// What was counted before the rates began.
    before: (u64, u64),
    first: Option<Nanos>,
    last: Nanos,
}

impl AverageCounter {
    fn new(args: &mut Args<'_>) -> Self {
        let ignore = args.next("IGNORE").unwrap_or(Time(0)).0;
        Self { ignore, seen: Seen::default() }
    }

    fn rate(&self, counted: u64, before: u64) -> String {
        let begin = self.seen.first.unwrap_or(0).saturating_add(self.ignore);
        let seconds = self.seen.last.saturating_sub(begin) as f64 / 1e9;
        decimal(if seconds > 0.0 { (counted - before) as f64 / seconds } else { 0.0 }, 3)
    }
}

impl Element for AverageCounter {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let (now, seen) = (cx.now(), &mut self.seen);
        let first = *seen.first.get_or_insert(now);
        seen.count += batch.len() as u64;
        seen.bytes += batch.bytes();
        if now <= first.saturating_add(self.ignore) {
            seen.before = (seen.count, seen.bytes);
        }
        seen.last = now;
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "count" => self.seen.count.to_string(),
            "byte_count" => self.seen.bytes.to_string(),
            "rate" => self.rate(self.seen.count, self.seen.before.0),
            _ => self.rate(self.seen.bytes, self.seen.before.1),
        })
    }

    fn write(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<(), String> {
        self.seen = Seen::default();
        Ok(())
    }
}
