use super::{Bucket, saved_packets};
use crate::args::Args;
use crate::element::{Context, Element, read_write};
use crate::handlers::parse;
use crate::packet::Batch;
use alloc::string::{String, ToString};

crate::element! {
    /// Sends at most so many packets a second out of output 0, and the other packets out of output 1.
    ///
    /// A fiftieth of a second's worth can be saved up.
    ///
    /// # Arguments
    /// `RATE`: packets a second.
    ///
    /// # Handlers
    /// `rate`: the argument.
    RatedSplitter "1/2" "h/h"
    keywords ["RATE"]
    handlers [read_write("rate")]
    { bucket: Bucket }
}

impl RatedSplitter {
    fn new(args: &mut Args<'_>) -> Self {
        let rate = args.required("RATE");
        Self { bucket: Bucket::new(rate, saved_packets(rate)) }
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
            let cost = 1;
            if tokens >= cost {
                tokens -= cost;
                self.bucket.take(cost);
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
        let rate = parse(cx, value)?;
        self.bucket.set(rate, saved_packets(rate));
        Ok(())
    }
}
