use super::Pattern;
use crate::args::{Args, Bandwidth};
use crate::element::{Context, Element, read, read_write, write};
use crate::elements::flow::{SAVED, TokenBucket};
use crate::handlers::parse;
use crate::packet::{BURST, Batch};
use alloc::string::{String, ToString};

crate::element! {
    /// Sends packets at a rate.
    ///
    /// What could not be sent in time is made up for within a fiftieth of a second, and lost beyond.
    ///
    /// # Arguments
    /// `DATA`: the packet's bytes. `RATE` (10): packets a second. `LIMIT` (-1): packets in all; negative: no limit.
    /// `ACTIVE` (true). `BANDWIDTH`: instead of RATE, bytes a second or with a unit. `LENGTH` or `DATASIZE`: bytes to cut DATA to, or
    /// to fill it up to with zeros. `STOP` (false): stop the router after the last packet. `END_CALL`: a handler to
    /// write after the last packet. `TIMESTAMP` (true): packets get the time.
    ///
    /// # Handlers
    /// `count`: packets so far. `rate`, `active`, `data`, `length` or `datasize`, `limit`: the arguments. `reset`: sets the count
    /// to 0.
    RatedSource "0/1" "a/a"
    keywords ["DATA", "RATE", "LIMIT", "ACTIVE", "BANDWIDTH", "LENGTH", "DATASIZE", "STOP", "END_CALL", "TIMESTAMP"]
    handlers [
        read("count"), read_write("rate"), read_write("active"), read_write("data"), read_write("length"),
        read_write("limit"), read_write("datasize"), write("reset"),
    ]
    { pattern: Pattern, bucket: TokenBucket, pushes: bool }
}

impl RatedSource {
    fn new(args: &mut Args<'_>) -> Self {
        let data = args.next("DATA");
        let rate = args.next("RATE").unwrap_or(10);
        let limit = args.next("LIMIT").unwrap_or(-1);
        let active = args.next("ACTIVE").unwrap_or(true);
        let bandwidth = args.key::<Bandwidth>("BANDWIDTH");
        let pattern = Pattern::new(args, data, limit, active);
        let rate = bandwidth.map_or(rate, |b| b.0 / (pattern.len().max(1) as u64));
        Self { pattern, bucket: TokenBucket::new(rate, SAVED), pushes: false }
    }

    fn due(&mut self, cx: &mut Context<'_>, n: usize) -> Batch {
        let tokens = self.bucket.fill(cx.now()).min(n as u64);
        let batch = self.pattern.make(cx, tokens);
        self.bucket.take(batch.len() as u64);
        batch
    }
}

impl Element for RatedSource {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.pushes = cx.pushes(0);
        // The first packet goes at once, and nothing is owed from before.
        self.bucket.fill(cx.now());
        self.bucket.reset();
        cx.schedule();
        Ok(())
    }

    fn run_task(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.pushes || self.pattern.left() == 0 {
            self.pattern.end(cx);
            return false;
        }
        let batch = self.due(cx, BURST);
        if batch.is_empty()
            && let Some(time) = self.bucket.next_token_at()
        {
            cx.wake_at(time);
        }
        // Others have a turn before the end is seen.
        let more = !batch.is_empty();
        cx.output(0, batch);
        more
    }

    fn owns_pull(&self) -> bool {
        true
    }

    fn notifies(&self) -> bool {
        true
    }

    fn pull(&mut self, cx: &mut Context<'_>, _: usize, most: usize) -> Batch {
        let batch = self.due(cx, most);
        self.pattern.end(cx);
        if let Some(time) = self.bucket.next_token_at().filter(|_| self.pattern.left() > 0) {
            cx.wake_at(time);
        }
        batch
    }

    fn timer(&mut self, cx: &mut Context<'_>) {
        cx.schedule();
        cx.notify();
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(if handler == "rate" { self.bucket.rate.to_string() } else { self.pattern.read(handler) })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        if handler == "rate" {
            self.bucket.set(parse(cx, value)?);
        } else {
            self.pattern.write(cx, handler, value)?;
        }
        cx.schedule();
        cx.notify();
        Ok(())
    }
}
