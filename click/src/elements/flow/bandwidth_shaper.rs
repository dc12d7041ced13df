use super::{SAVED, TokenBucket};
use crate::args::{Args, Bandwidth};
use crate::element::{Context, Element, read_write, write};
use crate::handlers::parse;
use crate::packet::Batch;
use alloc::string::{String, ToString};

crate::element! {
    /// Lets at most so many bytes a second be pulled through it.
    ///
    /// What is pulled from output 1, if it is there, is let through while nothing is from output 0.
    ///
    /// # Arguments
    /// `RATE`: bytes a second, or a bandwidth with its unit: `10 Mbps`, `2MBps`.
    ///
    /// # Handlers
    /// `rate`: the argument, in bytes a second. `reset`: nothing is saved up.
    BandwidthShaper "1/1-2" "l/l"
    keywords ["RATE"]
    handlers [read_write("rate"), write("reset")]
    { bucket: TokenBucket }
}

impl BandwidthShaper {
    fn new(args: &mut Args<'_>) -> Self {
        Self { bucket: TokenBucket::new(args.required::<Bandwidth>("RATE").0, SAVED) }
    }
}

impl Element for BandwidthShaper {
    fn owns_pull(&self) -> bool {
        true
    }

    fn notifies(&self) -> bool {
        true
    }

    fn pull(&mut self, cx: &mut Context<'_>, port: usize, most: usize) -> Batch {
        let mut batch = Batch::new();
        let now = cx.now();
        if port > 0 {
            return if self.bucket.fill(now) == 0 { cx.pull(0, most) } else { batch };
        }
        // Lengths are not known before: a packet may go while there are tokens, and the debt is paid by those behind.
        while batch.len() < most && self.bucket.fill(now) > 0 {
            let one = cx.pull(0, 1);
            if one.is_empty() {
                return batch;
            }
            self.bucket.take(one.bytes());
            batch.append(one);
        }
        if batch.is_empty()
            && let Some(time) = self.bucket.next()
        {
            cx.wake_at(time);
        }
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
            "rate" => self.bucket.set(parse::<Bandwidth>(cx, value)?.0),
            _ => self.bucket.reset(),
        }
        cx.notify();
        Ok(())
    }
}
