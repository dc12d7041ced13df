use super::{SAVED, TokenBucket};
use crate::args::Args;
use crate::element::{Context, Element, read_write, write};
use crate::handlers::parse;
use crate::packet::Batch;
use alloc::string::{String, ToString};

crate::element! {
    /// Lets at most so many packets a second be pulled through it.
    ///
    /// What is not asked for in time is lost, but for a fiftieth of a second's worth. From output 1, if it is connected,
    /// packets can be pulled while there are too many for output 0.
    ///
    /// # Arguments
    /// `RATE`: packets a second.
    ///
    /// # Handlers
    /// `rate`: the argument. `reset`: nothing is saved up.
    Shaper "1/1-2" "l/l"
    keywords ["RATE"]
    handlers [read_write("rate"), write("reset")]
    { bucket: TokenBucket }
}

impl Shaper {
    fn new(args: &mut Args<'_>) -> Self {
        Self { bucket: TokenBucket::new(args.required("RATE"), SAVED) }
    }
}

impl Element for Shaper {
    fn owns_pull(&self) -> bool {
        true
    }

    fn notifies(&self) -> bool {
        true
    }

    fn pull(&mut self, cx: &mut Context<'_>, port: usize, n: usize) -> Batch {
        let tokens = self.bucket.fill(cx.now());
        if port > 0 {
            return if tokens == 0 { cx.pull(0, n) } else { Batch::new() };
        }
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

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "rate" => self.bucket.set(parse(cx, value)?),
            _ => self.bucket.reset(),
        }
        cx.notify();
        Ok(())
    }
}
