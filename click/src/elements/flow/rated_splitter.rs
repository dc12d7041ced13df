use super::TokenBucket;
use crate::args::Args;
use crate::element::{Context, Element, read_write};
use crate::handlers::parse;
use crate::packet::Batch;
use alloc::string::{String, ToString};

crate::element! {
    /// Sends at most so many packets a second out of output 0, and the other packets out of output 1, or nowhere.
    ///
    /// # Arguments
    /// `RATE`: packets a second. `BURST_DURATION` (20ms): time whose packets can be saved up, or `BURST_SIZE`: how many.
    ///
    /// # Handlers
    /// `rate`: the argument.
    RatedSplitter "1/1-2" "h/h"
    keywords ["RATE", "BURST_DURATION", "BURST_SIZE"]
    handlers [read_write("rate")]
    { bucket: TokenBucket }
}

impl RatedSplitter {
    fn new(args: &mut Args<'_>) -> Self {
        Self { bucket: TokenBucket::of_packets(args) }
    }
}

impl Element for RatedSplitter {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.bucket.start(cx.now());
        Ok(())
    }

    fn push(&mut self, cx: &mut Context<'_>, _: usize, mut batch: Batch) {
        let mut tokens = self.bucket.fill(cx.now());
        let (mut within, mut beyond) = (Batch::new(), Batch::new());
        while let Some(packet) = batch.pop() {
            if tokens > 0 {
                tokens -= 1;
                self.bucket.take(1);
                within.push(packet);
            } else {
                beyond.push(packet);
            }
        }
        cx.output(0, within);
        cx.output(1, beyond);
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.bucket.rate.to_string())
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        self.bucket.set(parse(cx, value)?);
        Ok(())
    }
}
