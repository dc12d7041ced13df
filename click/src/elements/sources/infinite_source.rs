use super::Pattern;
use crate::args::Args;
use crate::element::{Context, Element, read, read_write, write};
use crate::elements::flow::{queue_downstream, room_downstream};
use crate::handlers::parse;
use crate::packet::{BURST, Batch};
use alloc::string::{String, ToString};

crate::element! {
    /// Sends packets as fast as it can, or as fast as they are pulled.
    ///
    /// # Arguments
    /// `DATA`: the packet's bytes. `LIMIT` (-1): packets in all; negative: no limit. `BURST` (as many as go together
    /// well): packets each time. `ACTIVE` (true). `LENGTH` or `DATASIZE`: bytes to cut DATA to, or to fill it up to with zeros.
    /// `STOP` (false): stop the router after the last packet. `END_CALL`: a handler to write after the last packet. `TIMESTAMP` (true): packets
    /// get the time.
    ///
    /// # Handlers
    /// `count`: packets so far. `active`, `burst` or `burstsize`, `data`, `length` or `datasize`, `limit`: the arguments. `reset`: sets the count
    /// to 0.
    InfiniteSource "0/1" "a/a"
    keywords ["DATA", "LIMIT", "BURST", "ACTIVE", "LENGTH", "DATASIZE", "STOP", "END_CALL", "TIMESTAMP"]
    handlers [
        read("count"), read_write("active"), read_write("burst"), read_write("data"), read_write("length"),
        read_write("limit"), read_write("burstsize"), read_write("datasize"), write("reset"),
    ]
    {
        pattern: Pattern,
        burst: u32,
        pushes: bool,
        /// A `Queue` to wait for.
        queue: Option<usize>,
    }
}

impl InfiniteSource {
    fn new(args: &mut Args<'_>) -> Self {
        let data = args.next("DATA");
        let limit = args.next("LIMIT").unwrap_or(-1);
        let burst = args.next("BURST").unwrap_or(BURST as u32);
        let active = args.next("ACTIVE").unwrap_or(true);
        Self { pattern: Pattern::new(args, data, limit, active), burst, pushes: false, queue: None }
    }
}

impl Element for InfiniteSource {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.pushes = cx.pushes(0);
        self.queue = queue_downstream(cx);
        cx.schedule();
        Ok(())
    }

    fn run_task(&mut self, cx: &mut Context<'_>) -> bool {
        if self.pushes && self.pattern.left() > 0 {
            let room = room_downstream(cx, self.queue);
            if room == 0 {
                return false;
            }
            let batch = self.pattern.make(cx, (room as u64).min(self.burst.into()));
            if !batch.is_empty() {
                // Others have a turn before the end is seen.
                cx.output(0, batch);
                return self.burst > 0;
            }
        }
        self.pattern.end(cx);
        self.pushes && self.burst > 0 && self.pattern.left() > 0
    }

    fn owns_pull(&self) -> bool {
        true
    }

    fn notifies(&self) -> bool {
        true
    }

    fn pull(&mut self, cx: &mut Context<'_>, _: usize, most: usize) -> Batch {
        let batch = self.pattern.make(cx, most as u64);
        if self.pattern.left() == 0 {
            cx.schedule();
        }
        batch
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(if matches!(handler, "burst" | "burstsize") {
            self.burst.to_string()
        } else {
            self.pattern.read(handler)
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "burst" | "burstsize" => self.burst = parse(cx, value)?,
            _ => self.pattern.write(cx, handler, value)?,
        }
        cx.schedule();
        cx.notify();
        Ok(())
    }
}
