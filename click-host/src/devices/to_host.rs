use super::tunnel::{Tunnel, find};
use click::args::Args;
use click::element::{Context, Element, read, write};
use click::packet::{BURST, Batch};
use std::any::Any;
use std::sync::Arc;

click::element! {
    /// Hands packets, pushed or pulled, to the host through a device that a `FromHost` makes.
    ///
    /// # Arguments
    /// `DEVNAME`: the name of that device. `QUIET` (false) is accepted.
    ///
    /// # Handlers
    /// `count`: packets so far. `dev_name`: the device's name. `drops`: packets that the host did not take. `reset_counts`: sets the counts to 0.
    ToHost "1/0" "a/"
    keywords ["DEVNAME", "QUIET"]
    handlers [read("count"), read("dev_name"), read("drops"), write("reset_counts")]
    { name: String, tunnel: Option<Arc<Tunnel>>, pulls: bool, count: u64, drops: u64 }
}

impl ToHost {
    fn new(args: &mut Args<'_>) -> Self {
        let name = args.required::<String>("DEVNAME");
        args.key::<bool>("QUIET");
        Self { name, tunnel: None, pulls: false, count: 0, drops: 0 }
    }

    fn send(&mut self, batch: &Batch) {
        let Some(tunnel) = &self.tunnel else { return };
        for packet in batch.iter() {
            match tunnel.send(packet.data()) {
                Ok(()) => self.count += 1,
                Err(_) => self.drops += 1,
            }
        }
    }
}

impl Element for ToHost {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        let tunnel = find(&self.name).ok_or_else(|| format!("no FromHost makes a device '{}'", self.name))?;
        self.tunnel = Some(tunnel);
        self.pulls = cx.pulls(0);
        if self.pulls {
            cx.schedule();
        }
        Ok(())
    }

    fn is_puller(&self) -> bool {
        true
    }

    fn push(&mut self, _: &mut Context<'_>, _: usize, batch: Batch) {
        self.send(&batch);
    }

    fn run_task(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.pulls {
            return false;
        }
        let batch = cx.pull(0, BURST);
        self.send(&batch);
        !batch.is_empty()
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<ToHost>() {
            (self.count, self.drops) = (old.count, old.drops);
        }
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "count" => self.count.to_string(),
            "dev_name" => self.name.clone(),
            _ => self.drops.to_string(),
        })
    }

    fn write(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<(), String> {
        (self.count, self.drops) = (0, 0);
        Ok(())
    }
}
