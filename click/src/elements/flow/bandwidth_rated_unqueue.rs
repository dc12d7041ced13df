use super::TokenBucket;
use crate::args::{Args, Bandwidth};
use crate::element::{Context, Element, read, read_write, write};
use crate::handlers::parse;
use crate::packet::{BURST, Batch};
use alloc::string::{String, ToString};

crate::element! {
    /// Pulls at most so many bytes a second, and pushes them.
    ///
    /// # Arguments
    /// `RATE`: bytes a second, or a bandwidth with its unit: `10 Mbps`, `2MBps`. `BURST_DURATION` (20ms): time whose bytes
    /// can be saved up, or `BURST_BYTES`: how many.
    /// `BURST` (as many as go together well): packets at once. `ACTIVE` (true): when false, nothing is pulled.
    ///
    /// # Handlers
    /// `rate`, `active`: the arguments. `count`: packets so far. `reset`: sets the count to 0.
    BandwidthRatedUnqueue "1/1" "l/h"
    keywords ["RATE", "BURST", "ACTIVE", "BURST_DURATION", "BURST_BYTES"]
    handlers [read_write("rate"), read_write("active"), read("count"), write("reset")]
    { bucket: TokenBucket, burst: usize, active: bool, count: u64 }
}

impl BandwidthRatedUnqueue {
    fn new(args: &mut Args<'_>) -> Self {
        let bucket = TokenBucket::of_bytes(args);
        let burst = args.key("BURST").unwrap_or(BURST).clamp(1, 1 << 16);
        Self { bucket, burst, active: args.key("ACTIVE").unwrap_or(true), count: 0 }
    }
}

impl Element for BandwidthRatedUnqueue {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.bucket.start(cx.now());
        cx.schedule();
        Ok(())
    }

    fn is_puller(&self) -> bool {
        true
    }

    fn run_task(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.active {
            return false;
        }
        let mut batch = Batch::new();
        // Lengths are not known before: the last packet may take more than there is, which is paid for afterwards.
        while batch.len() < self.burst && self.bucket.fill(cx.now()) > 0 {
            let one = cx.pull(0, 1);
            if one.is_empty() {
                break;
            }
            self.bucket.take(one.bytes());
            batch.append(one);
        }
        let pulled = !batch.is_empty();
        self.count += batch.len() as u64;
        cx.output(0, batch);
        if self.bucket.fill(cx.now()) > 0 {
            return pulled;
        }
        if let Some(time) = self.bucket.next() {
            cx.wake_at(time);
        }
        false
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "rate" => self.bucket.rate.to_string(),
            "active" => self.active.to_string(),
            _ => self.count.to_string(),
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "rate" => self.bucket.set(parse::<Bandwidth>(cx, value)?.0),
            "active" => self.active = parse(cx, value)?,
            _ => self.count = 0,
        }
        cx.schedule();
        Ok(())
    }
}
