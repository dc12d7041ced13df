use crate::args::{Args, Ethernet, Time, seconds};
use crate::element::{Context, Element, Nanos, read, read_write};
use crate::elements::content::Runs;
use crate::handlers::parse;
use crate::headers::ETHERNET;
use crate::packet::{Batch, Packet};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use core::any::Any;

/// Addresses known at once; unknown ones are sent everywhere.
const MOST: usize = 8192;

crate::element! {
    /// Forwards Ethernet frames as a learning switch does.
    ///
    /// Input and output of a number are one port. A frame goes to the port where its destination was last heard, to all
    /// others if it was not, and nowhere if that is where it came from.
    ///
    /// # Arguments
    /// `TIMEOUT` (300 s): how long an address is remembered; 0: no address is.
    ///
    /// # Handlers
    /// `table`: addresses and their ports. `timeout`: the argument.
    EtherSwitch "1-/=" "h/h"
    keywords ["TIMEOUT"]
    handlers [read("table"), read_write("timeout")]
    { timeout: Nanos, table: BTreeMap<[u8; 6], (usize, Nanos)>, tended: Nanos }
}

impl EtherSwitch {
    pub(super) fn new(args: &mut Args<'_>) -> Self {
        Self {
            timeout: args.next("TIMEOUT").unwrap_or(Time(300_000_000_000)).0,
            table: BTreeMap::new(),
            tended: 0,
        }
    }

    pub(super) fn learn(&mut self, source: [u8; 6], port: usize, now: Nanos) {
        if source[0] & 1 == 1 || self.timeout == 0 {
            return;
        }
        if self.table.len() >= MOST && !self.table.contains_key(&source) {
            // Old ones make room, which is looked for once a second: strangers may send any number of addresses.
            let timeout = self.timeout;
            if now.saturating_sub(self.tended) >= 1_000_000_000 {
                self.tended = now;
                self.table.retain(|_, entry| now.saturating_sub(entry.1) < timeout);
            }
            if self.table.len() >= MOST {
                return;
            }
        }
        self.table.insert(source, (port, now));
    }

    /// The port of an address, if it is known.
    pub(super) fn port(&self, destination: [u8; 6], now: Nanos) -> Option<usize> {
        let entry = self.table.get(&destination)?;
        (destination[0] & 1 == 0 && now.saturating_sub(entry.1) < self.timeout).then_some(entry.0)
    }
}

/// Sends a frame to all ports but the one where it came from.
pub(super) fn flood(cx: &mut Context<'_>, from: usize, packet: Packet) {
    let Some(last) = (0..cx.outputs()).rev().find(|&o| o != from) else { return };
    for output in (0..last).filter(|&o| o != from) {
        if let Some(copy) = packet.duplicate() {
            cx.output_one(output, copy);
        }
    }
    cx.output_one(last, packet);
}

impl Element for EtherSwitch {
    fn push(&mut self, cx: &mut Context<'_>, port: usize, mut batch: Batch) {
        let now = cx.now();
        let mut runs = Runs::new();
        while let Some(packet) = batch.pop() {
            let Some(header) = packet.data().first_chunk::<ETHERNET>() else { continue };
            let address = |at: usize| core::array::from_fn(|i| header[at + i]);
            let destination = address(0);
            self.learn(address(6), port, now);
            match self.port(destination, now) {
                Some(to) if to == port => {}
                Some(to) => runs.add(cx, to, packet),
                None => {
                    runs.finish(cx);
                    runs = Runs::new();
                    flood(cx, port, packet);
                }
            }
        }
        runs.finish(cx);
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<Self>() {
            self.table = core::mem::take(&mut old.table);
        }
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        if handler == "timeout" {
            return Ok(seconds(self.timeout));
        }
        Ok(self.table.iter().map(|(mac, (port, _))| format!("{} {port}\n", Ethernet(*mac))).collect())
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        self.timeout = parse::<Time>(cx, value)?.0;
        if self.timeout == 0 {
            self.table.clear();
        }
        Ok(())
    }
}
