use super::infinite::Load;
use crate::args::{Args, Time};
use crate::element::{Class, Context, Element, Handler, Nanos, read, read_write, write};
use crate::elements::boxed;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};

/// Makes one packet each time an interval has passed.
///
/// Arguments: `INTERVAL` (seconds, or with a unit; default 0.5 s), `DATA`, keywords `LIMIT`, `ACTIVE`, `LENGTH`, `STOP`
/// (stop the router at the limit). Output 0 (push). Handlers: `count` (read), `interval`, `active`, `limit`, `data`
/// (read, write), `reset`, `reset_counts` (write).
#[derive(Debug)]
pub struct TimedSource {
    load: Load,
    interval: Nanos,
    next: Nanos,
}

/// The class.
pub const CLASS: Class = Class {
    name: "TimedSource",
    ports: "0/1",
    processing: "h/h",
    keywords: &["INTERVAL", "DATA", "LIMIT", "ACTIVE", "LENGTH", "STOP", "HEADROOM"],
    make,
};

fn make(args: &mut Args<'_>) -> Box<dyn Element> {
    let interval = args.next::<Time>("INTERVAL").map_or(500_000_000, |t| t.0);
    if interval == 0 {
        args.error("INTERVAL: must be greater than 0");
    }
    let (data, limit) = (args.next("DATA"), args.key("LIMIT"));
    boxed(TimedSource { load: Load::new(args, data, limit), interval: interval.max(1), next: 0 })
}

impl Element for TimedSource {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.next = cx.now() + self.interval;
        cx.wake_at(self.next);
        Ok(())
    }

    fn timer(&mut self, cx: &mut Context<'_>) {
        if !self.load.active {
            return;
        }
        let batch = self.load.packets(cx, 1);
        cx.output(0, batch);
        if !self.load.done() || self.load.stop {
            self.next = (self.next + self.interval).max(cx.now());
            cx.wake_at(self.next);
        }
    }

    fn handlers(&self) -> &'static [Handler] {
        &[
            read("count"),
            read_write("interval"),
            read_write("active"),
            read_write("limit"),
            read_write("data"),
            write("reset"),
            write("reset_counts"),
        ]
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str) -> String {
        if handler == "interval" {
            return format!("{}.{:09}", self.interval / 1_000_000_000, self.interval % 1_000_000_000);
        }
        self.load.read(handler)
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        if handler == "interval" {
            let time = crate::args::parse_time(value).filter(|&t| t > 0);
            self.interval = time.ok_or("expected a time in seconds".to_string())?;
        } else {
            self.load.write(handler, value)?;
        }
        self.next = cx.now() + self.interval;
        cx.wake_at(self.next);
        Ok(())
    }
}
