use crate::args::{Args, unquote};
use crate::batch::Batch;
use crate::element::{Class, Context, Element, Handler, read, read_write, write};
use crate::elements::boxed;
use crate::router::TURN;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// What is sent where nothing else is asked for: 64 bytes.
const DATA: &[u8; 64] = b"A packet made by a source: plain text, as long as a small frame.";

/// What a source sends, and how much of it: shared by all sources.
#[derive(Debug)]
pub struct Load {
    /// Bytes of each packet.
    pub data: Vec<u8>,
    /// Packets in all; negative: no limit.
    pub limit: i64,
    /// Packets so far.
    pub count: u64,
    /// Whether it sends.
    pub active: bool,
    /// Stop the router at the limit.
    pub stop: bool,
}

impl Load {
    /// Reads `DATA` or `LENGTH`, `ACTIVE` and `STOP`; `LIMIT` is positional in an order of the source's own.
    pub fn new(args: &mut Args<'_>, data: Option<Vec<u8>>, limit: Option<i64>) -> Self {
        let length = args.key::<usize>("LENGTH").filter(|&l| l <= 65535);
        let mut data = data.unwrap_or_else(|| DATA.to_vec());
        if let Some(length) = length {
            data.resize(length, 0);
        }
        if data.len() > 65535 {
            args.error("DATA: at most 65535 bytes");
        }
        Self {
            data,
            limit: limit.unwrap_or(-1),
            count: 0,
            active: args.key("ACTIVE").unwrap_or(true),
            stop: args.key("STOP").unwrap_or(false),
        }
    }

    /// At most `most` packets, fewer at the limit, where the router is stopped if that was asked for.
    pub fn packets(&mut self, cx: &mut Context<'_>, most: usize) -> Batch {
        let left = if self.limit < 0 { u64::MAX } else { (self.limit as u64).saturating_sub(self.count) };
        if left == 0 {
            if self.stop {
                cx.stop();
            }
            return Batch::new();
        }
        let n = left.min(most as u64);
        let now = cx.host.wall_clock();
        let batch: Batch = (0..n)
            .filter_map(|_| {
                let mut packet = cx.packet(&self.data)?;
                packet.set_timestamp(now);
                Some(packet)
            })
            .collect();
        self.count += batch.len() as u64;
        batch
    }

    /// Whether the limit is reached.
    pub fn done(&self) -> bool {
        self.limit >= 0 && self.count >= self.limit as u64
    }

    /// Handlers of all sources.
    pub const HANDLERS: &'static [Handler] = &[
        read("count"),
        read_write("active"),
        read_write("limit"),
        read_write("data"),
        write("reset"),
        write("reset_counts"),
    ];

    /// Value of one of them.
    pub fn read(&self, handler: &str) -> String {
        match handler {
            "count" => self.count.to_string(),
            "active" => self.active.to_string(),
            "limit" => self.limit.to_string(),
            _ => String::from_utf8_lossy(&self.data).into_owned(),
        }
    }

    /// Writes one of them.
    pub fn write(&mut self, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "active" => self.active = value.parse().map_err(|_| "expected true or false".to_string())?,
            "limit" => self.limit = value.parse().map_err(|_| "expected an integer".to_string())?,
            "data" => self.data = Some(unquote(value)).filter(|d| d.len() <= 65535).ok_or("at most 65535 bytes")?,
            _ => self.count = 0,
        }
        Ok(())
    }
}

/// Makes packets as fast as they are taken.
///
/// Arguments: `DATA`, `LIMIT` (default -1: none), `BURST` (default 32), `ACTIVE` (default true), keywords `LENGTH`,
/// `STOP` (stop the router at the limit). Output 0 (push or pull). Handlers: `count` (read), `active`, `limit`, `data`
/// (read, write), `reset`, `reset_counts` (write).
#[derive(Debug)]
pub struct InfiniteSource {
    load: Load,
    burst: usize,
}

/// The class.
pub const CLASS: Class = Class {
    name: "InfiniteSource",
    ports: "0/1",
    processing: "a/a",
    keywords: &["DATA", "LIMIT", "BURST", "ACTIVE", "LENGTH", "STOP"],
    make,
};

fn make(args: &mut Args<'_>) -> Box<dyn Element> {
    let (data, limit) = (args.next("DATA"), args.next("LIMIT"));
    let burst = args.next::<usize>("BURST").unwrap_or(TURN).clamp(1, 1024);
    boxed(InfiniteSource { load: Load::new(args, data, limit), burst })
}

impl Element for InfiniteSource {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        cx.schedule();
        Ok(())
    }

    fn work(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.load.active {
            return false;
        }
        let batch = self.load.packets(cx, self.burst);
        let some = !batch.is_empty();
        cx.output(0, batch);
        some
    }

    fn pull(&mut self, cx: &mut Context<'_>, _: usize, most: usize) -> Batch {
        if self.load.active { self.load.packets(cx, most) } else { Batch::new() }
    }

    fn is_holder(&self) -> bool {
        true
    }

    fn handlers(&self) -> &'static [Handler] {
        Load::HANDLERS
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str) -> String {
        self.load.read(handler)
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        self.load.write(handler, value)?;
        cx.notify();
        cx.schedule();
        Ok(())
    }
}
