use crate::args::Args;
use crate::element::{Context, Element, read, read_write};
use crate::handlers::parse;
use crate::packet::BURST;
use alloc::string::{String, ToString};

crate::element! {
    /// Pulls from its inputs in turn, as fast as it can, and pushes the packets out of the outputs of the same numbers.
    ///
    /// It sleeps while there are none.
    ///
    /// # Arguments
    /// `BURST` (as many as go together well): packets pulled from an input at once. `ACTIVE` (true).
    ///
    /// # Handlers
    /// `count`: packets so far. `active`: the argument.
    RoundRobinUnqueue "1-/=" "l/h"
    keywords ["BURST", "ACTIVE"]
    handlers [read("count"), read_write("active")]
    { burst: usize, active: bool, next: usize, count: u64 }
}

impl RoundRobinUnqueue {
    fn new(args: &mut Args<'_>) -> Self {
        let burst = args.next::<i64>("BURST").map_or(BURST, |b| usize::try_from(b).unwrap_or(1 << 16)).max(1);
        Self { burst, active: args.next("ACTIVE").unwrap_or(true), next: 0, count: 0 }
    }
}

impl Element for RoundRobinUnqueue {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        cx.schedule();
        Ok(())
    }

    fn is_puller(&self) -> bool {
        true
    }

    fn run_task(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.active {
            return false;
        }
        for _ in 0..cx.inputs() {
            let port = self.next;
            self.next = (port + 1) % cx.inputs();
            let batch = cx.pull(port, self.burst);
            if !batch.is_empty() {
                self.count += batch.len() as u64;
                cx.output(port, batch);
                return true;
            }
        }
        false
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(if handler == "count" { self.count.to_string() } else { self.active.to_string() })
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        self.active = parse(cx, value)?;
        cx.schedule();
        Ok(())
    }
}
