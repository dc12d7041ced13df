use crate::args::{Args, Time, seconds};
use crate::element::{Context, Element, Nanos, read, read_write};
use crate::handlers::parse;
use crate::packet::Batch;
use alloc::string::{String, ToString};

crate::element! {
    /// Pulls packets at intervals, and pushes them.
    ///
    /// # Arguments
    /// `INTERVAL`: time between bursts. `MAX` or `BURST` (8): most packets in a burst; negative: all that there are.
    ///
    /// # Handlers
    /// `interval`, `max`: the arguments. `count`: packets so far.
    Burster "1/1" "l/h"
    keywords ["INTERVAL", "MAX", "BURST"]
    handlers [read_write("interval"), read_write("max"), read("count")]
    { interval: Nanos, most: i32, count: u64 }
}

impl Burster {
    fn new(args: &mut Args<'_>) -> Self {
        let interval = args.required::<Time>("INTERVAL").0.max(1);
        let most = args.next("MAX").or_else(|| args.key("BURST")).unwrap_or(8);
        Self { interval, most, count: 0 }
    }
}

impl Element for Burster {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        cx.wake_at(cx.now().saturating_add(self.interval));
        Ok(())
    }

    fn timer(&mut self, cx: &mut Context<'_>) {
        let most = usize::try_from(self.most).unwrap_or(usize::MAX);
        let batch = if most > 0 { cx.pull(0, most) } else { Batch::new() };
        self.count += batch.len() as u64;
        cx.output(0, batch);
        cx.wake_at(cx.now().saturating_add(self.interval));
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "interval" => seconds(self.interval),
            "max" => self.most.to_string(),
            _ => self.count.to_string(),
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "interval" => self.interval = parse::<Time>(cx, value)?.0.max(1),
            _ => self.most = parse(cx, value)?,
        }
        cx.wake_at(cx.now().saturating_add(self.interval));
        Ok(())
    }
}
