use super::infinite::Load;
use crate::args::Args;
use crate::batch::Batch;
use crate::element::{Class, Context, Element, Handler, read, read_write, write};
use crate::elements::boxed;
use crate::elements::flow::shaper::Bucket;
use crate::router::TURN;
use alloc::boxed::Box;
use alloc::string::{String, ToString};

/// Makes packets at a rate.
///
/// Arguments: `DATA`, `RATE` (packets a second, default 10), `LIMIT` (default -1: none), `ACTIVE` (default true),
/// keywords `LENGTH`, `STOP` (stop the router at the limit). Output 0 (push or pull). Handlers: `count` (read),
/// `rate`, `active`, `limit`, `data` (read, write), `reset`, `reset_counts` (write).
#[derive(Debug)]
pub struct RatedSource {
    load: Load,
    bucket: Bucket,
}

/// The class.
pub const CLASS: Class = Class {
    name: "RatedSource",
    ports: "0/1",
    processing: "a/a",
    keywords: &["DATA", "RATE", "LIMIT", "ACTIVE", "LENGTH", "STOP"],
    make,
};

fn make(args: &mut Args<'_>) -> Box<dyn Element> {
    let (data, rate, limit) = (args.next("DATA"), args.next("RATE"), args.next("LIMIT"));
    boxed(RatedSource { load: Load::new(args, data, limit), bucket: Bucket::new(rate.unwrap_or(10)) })
}

impl RatedSource {
    fn packets(&mut self, cx: &mut Context<'_>, most: usize) -> Batch {
        if !self.load.active {
            return Batch::new();
        }
        let now = cx.now();
        // What a slow round has missed is made up for, up to a tenth of a second.
        self.bucket.fill(now, self.bucket.rate() / 10);
        let n = self.bucket.available().min(most as u64);
        if n == 0 && !self.load.done() {
            if let Some(next) = self.bucket.next(now) {
                cx.wake_at(next);
            }
            return Batch::new();
        }
        let batch = self.load.packets(cx, n.max(1) as usize);
        self.bucket.take(batch.len() as u64);
        batch
    }
}

impl Element for RatedSource {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.bucket.fill(cx.now(), 1);
        cx.schedule();
        Ok(())
    }

    fn work(&mut self, cx: &mut Context<'_>) -> bool {
        let batch = self.packets(cx, TURN);
        let some = !batch.is_empty();
        cx.output(0, batch);
        cx.notify();
        some
    }

    fn pull(&mut self, cx: &mut Context<'_>, _: usize, most: usize) -> Batch {
        self.packets(cx, most)
    }

    fn is_holder(&self) -> bool {
        true
    }

    fn handlers(&self) -> &'static [Handler] {
        &[
            read("count"),
            read_write("rate"),
            read_write("active"),
            read_write("limit"),
            read_write("data"),
            write("reset"),
            write("reset_counts"),
        ]
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str) -> String {
        if handler == "rate" { self.bucket.rate().to_string() } else { self.load.read(handler) }
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        if handler == "rate" {
            self.bucket.set_rate(value.parse().map_err(|_| "expected packets a second".to_string())?);
        } else {
            self.load.write(handler, value)?;
        }
        cx.schedule();
        Ok(())
    }
}
