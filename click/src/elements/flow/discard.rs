use crate::args::Args;
use crate::element::{Context, Element, read, read_write, write};
use crate::handlers::parse;
use crate::packet::{BURST, Batch};
use alloc::string::{String, ToString};

crate::element! {
    /// Drops all packets.
    ///
    /// # Arguments
    /// `ACTIVE` (true): when false, packets are not pulled. `BURST` (32): packets that are pulled at once.
    ///
    /// # Handlers
    /// `count`: packets dropped so far. `active`: the argument. `reset_counts`: sets the count to 0.
    Discard "1/0" "a/a"
    keywords ["ACTIVE", "BURST"]
    handlers [read("count"), read_write("active"), write("reset_counts")]
    { active: bool, burst: usize, count: u64, pulls: bool }
}

impl Discard {
    fn new(args: &mut Args<'_>) -> Self {
        let active = args.key("ACTIVE").unwrap_or(true);
        let burst = args.key::<usize>("BURST").unwrap_or(BURST).max(1);
        Self { active, burst, count: 0, pulls: false }
    }
}

impl Element for Discard {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.pulls = cx.pulls(0);
        if self.pulls {
            cx.schedule();
        }
        Ok(())
    }

    fn is_puller(&self) -> bool {
        true
    }

    #[inline]
    fn push(&mut self, _: &mut Context<'_>, _: usize, batch: Batch) {
        self.count += batch.len() as u64;
    }

    fn run_task(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.active || !self.pulls {
            return false;
        }
        let batch = cx.pull(0, self.burst);
        self.count += batch.len() as u64;
        !batch.is_empty()
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(if handler == "count" { self.count.to_string() } else { self.active.to_string() })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "active" => {
                self.active = parse(cx, value)?;
                cx.schedule();
            }
            _ => self.count = 0,
        }
        Ok(())
    }
}
