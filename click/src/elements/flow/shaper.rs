use super::{Bucket, saved_packets};
use crate::args::Args;
use crate::element::{Context, Element, read_write};
use crate::handlers::parse;
use crate::packet::Batch;
use alloc::string::{String, ToString};

crate::element! {
    /// Lets at most so many packets a second be pulled through it.
    ///
    /// What is not asked for in time is lost, but for a fiftieth of a second's worth.
    ///
    /// # Arguments
    /// `RATE`: packets a second.
    ///
    /// # Handlers
    /// `rate`: the argument.
    Shaper "1/1" "l/l"
    keywords ["RATE"]
    handlers [read_write("rate")]
    { bucket: Bucket }
}

impl Shaper {
    fn new(args: &mut Args<'_>) -> Self {
        let rate = args.required("RATE");
        Self { bucket: Bucket::new(rate, saved_packets(rate)) }
    }
}

impl Element for Shaper {
    fn owns_pull(&self) -> bool {
        true
    }

    fn notifies(&self) -> bool {
        true
    }

    fn pull(&mut self, cx: &mut Context<'_>, _: usize, n: usize) -> Batch {
        let now = cx.now();
        let tokens = self.bucket.fill(now);
        if tokens == 0 {
            if let Some(time) = self.bucket.next() {
                cx.wake_at(time);
            }
            return Batch::new();
        }
        let batch = cx.pull(0, n.min(tokens as usize));
        self.bucket.take(batch.len() as u64);
        batch
    }

    fn timer(&mut self, cx: &mut Context<'_>) {
        cx.notify();
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.bucket.rate.to_string())
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        let rate = parse(cx, value)?;
        self.bucket.set(rate, saved_packets(rate));
        cx.notify();
        Ok(())
    }
}
