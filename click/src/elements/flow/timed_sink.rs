use crate::args::{Args, Time, seconds};
use crate::element::{Context, Element, Nanos, read, read_write, write};
use crate::handlers::parse;
use alloc::string::{String, ToString};

crate::element! {
    /// Pulls one packet at intervals, and drops it.
    ///
    /// # Arguments
    /// `INTERVAL` (0.5 s): time between packets.
    ///
    /// # Handlers
    /// `interval`: the argument. `count`: packets so far. `reset_counts`: sets the count to 0.
    TimedSink "1/0" "l/"
    keywords ["INTERVAL"]
    handlers [read_write("interval"), read("count"), write("reset_counts")]
    { interval: Nanos, count: u64 }
}

impl TimedSink {
    fn new(args: &mut Args<'_>) -> Self {
        Self { interval: args.next("INTERVAL").unwrap_or(Time(500_000_000)).0.max(1), count: 0 }
    }
}

impl Element for TimedSink {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        cx.wake_at(cx.now().saturating_add(self.interval));
        Ok(())
    }

    fn timer(&mut self, cx: &mut Context<'_>) {
        self.count += cx.pull(0, 1).len() as u64;
        cx.wake_at(cx.now().saturating_add(self.interval));
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(if handler == "interval" { seconds(self.interval) } else { self.count.to_string() })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "interval" => {
                self.interval = parse::<Time>(cx, value)?.0.max(1);
                cx.wake_at(cx.now().saturating_add(self.interval));
            }
            _ => self.count = 0,
        }
        Ok(())
    }
}
