use super::TokenBucket;
use crate::args::{Args, Bandwidth};
use crate::element::{Context, Element, read_write};
use crate::handlers::parse;
use crate::packet::Batch;
use alloc::string::{String, ToString};

crate::element! {
    /// Sends at most so many bytes a second out of output 0, and the other packets out of output 1, or nowhere.
    ///
    /// A packet may go while there are bytes saved up, and those behind wait for what it took beyond.
    ///
    /// # Arguments
    /// `RATE`: bytes a second, or a bandwidth with its unit: `10 Mbps`, `2MBps`. `BURST_DURATION` (20ms): time whose bytes
    /// can be saved up, or `BURST_BYTES`: how many.
    ///
    /// # Handlers
    /// `rate`: the argument, in bytes a second.
    BandwidthRatedSplitter "1/1-2" "h/h"
    keywords ["RATE", "BURST_DURATION", "BURST_BYTES"]
    handlers [read_write("rate")]
    { bucket: TokenBucket }
}

impl BandwidthRatedSplitter {
    fn new(args: &mut Args<'_>) -> Self {
        Self { bucket: TokenBucket::of_bytes(args) }
    }
}

impl Element for BandwidthRatedSplitter {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.bucket.start(cx.now());
        Ok(())
    }

    fn push(&mut self, cx: &mut Context<'_>, _: usize, mut batch: Batch) {
        let mut tokens = self.bucket.fill(cx.now());
        let (mut within, mut beyond) = (Batch::new(), Batch::new());
        while let Some(packet) = batch.pop() {
            if tokens > 0 {
                let bytes = packet.len() as u64;
                tokens = tokens.saturating_sub(bytes);
                self.bucket.take(bytes);
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
        self.bucket.set(parse::<Bandwidth>(cx, value)?.0);
        Ok(())
    }
}
