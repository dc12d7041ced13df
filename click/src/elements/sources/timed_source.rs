use super::Pattern;
use crate::args::{Args, Time};
use crate::element::{Context, Element, Nanos, read, read_write, write};
use crate::handlers::parse;
use alloc::string::{String, ToString};

crate::element! {
    /// Sends one packet every so often.
    ///
    /// # Arguments
    /// `INTERVAL` (500 ms): time between packets. `DATA`: the packet's bytes. `LIMIT` (-1): packets in all; negative:
    /// no limit. `ACTIVE` (true). `LENGTH` or `DATASIZE`: bytes to cut DATA to, or to fill it up to with zeros. `STOP` (false): stop
    /// the router after the last packet. `END_CALL`: a handler to write after the last packet. `TIMESTAMP` (true): packets
    /// get the time. `HEADROOM`: bytes in front of each packet, of which there are always enough.
    ///
    /// # Handlers
    /// `count`: packets so far. `interval`, `active`, `data`, `length`, `limit`, `headroom`: the arguments. `reset`: sets the count
    /// to 0.
    TimedSource "0/1" "h/h"
    keywords ["INTERVAL", "DATA", "LIMIT", "ACTIVE", "LENGTH", "DATASIZE", "STOP", "END_CALL", "TIMESTAMP", "HEADROOM"]
    handlers [
        read("count"), read_write("interval"), read_write("active"), read_write("data"), read_write("length"),
        read_write("limit"), read_write("headroom"), write("reset"),
    ]
    { pattern: Pattern, interval: Nanos, next: Nanos }
}

impl TimedSource {
    fn new(args: &mut Args<'_>) -> Self {
        let interval = args.next("INTERVAL").unwrap_or(Time(500_000_000)).0;
        let data = args.next("DATA");
        let (limit, active) = (args.key("LIMIT").unwrap_or(-1), args.key("ACTIVE").unwrap_or(true));
        if interval == 0 {
            args.error("INTERVAL: must be greater than 0");
        }
        Self { pattern: Pattern::new(args, data, limit, active), interval: interval.max(1), next: 0 }
    }

    fn again(&mut self, cx: &mut Context<'_>) {
        if self.pattern.active {
            // The end is seen when another packet would be due. Times missed are not made up for.
            self.next = self.next.saturating_add(self.interval).max(cx.now());
            cx.wake_at(self.next);
        }
    }
}

impl Element for TimedSource {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.next = cx.now();
        self.again(cx);
        Ok(())
    }

    fn timer(&mut self, cx: &mut Context<'_>) {
        let batch = self.pattern.make(cx, 1);
        if batch.is_empty() {
            return self.pattern.end(cx);
        }
        cx.output(0, batch);
        self.again(cx);
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        if handler == "interval" {
            return Ok(crate::args::seconds(self.interval));
        }
        if handler == "headroom" {
            return Ok(crate::packet::HEADROOM.to_string());
        }
        Ok(self.pattern.read(handler))
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        if handler == "interval" {
            self.interval = parse::<Time>(cx, value)?.0.max(1);
        } else if handler == "headroom" {
            // Packets have enough.
            let _ = parse::<u32>(cx, value)?;
        } else {
            self.pattern.write(cx, handler, value)?;
        }
        self.next = cx.now();
        self.again(cx);
        Ok(())
    }
}
