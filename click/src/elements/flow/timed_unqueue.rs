use crate::args::{Args, Time, seconds};
use crate::element::{Context, Element, Nanos, read_write};
use crate::handlers::parse;
use alloc::string::{String, ToString};

crate::element! {
    /// Pulls packets at intervals, and pushes them.
    ///
    /// It sleeps while there are none.
    ///
    /// # Arguments
    /// `INTERVAL`: time between two turns. `BURST` (1): most packets in each.
    ///
    /// # Handlers
    /// `interval`, `burst`: the arguments.
    TimedUnqueue "1/1" "l/h"
    keywords ["INTERVAL", "BURST"]
    handlers [read_write("interval"), read_write("burst")]
    { interval: Nanos, burst: usize, next: Nanos }
}

impl TimedUnqueue {
    fn new(args: &mut Args<'_>) -> Self {
        let (interval, burst) = (args.required::<Time>("INTERVAL").0, args.next("BURST").unwrap_or(1));
        if burst == 0 {
            args.error("bad BURST");
        }
        Self { interval: interval.max(1), burst, next: 0 }
    }
}

impl Element for TimedUnqueue {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        cx.schedule();
        Ok(())
    }

    fn is_puller(&self) -> bool {
        true
    }

    fn run_task(&mut self, cx: &mut Context<'_>) -> bool {
        if cx.now() < self.next {
            cx.wake_at(self.next);
            return false;
        }
        let batch = cx.pull(0, self.burst);
        if !batch.is_empty() {
            self.next = cx.now().saturating_add(self.interval);
            cx.wake_at(self.next);
        }
        cx.output(0, batch);
        false
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(if handler == "interval" { seconds(self.interval) } else { self.burst.to_string() })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        if handler == "burst" {
            self.burst = parse::<usize>(cx, value)?.max(1);
        } else {
            self.interval = parse::<Time>(cx, value)?.0.max(1);
            self.next = cx.now();
            cx.schedule();
        }
        Ok(())
    }
}
