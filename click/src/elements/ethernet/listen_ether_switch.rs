use super::ether_switch::{EtherSwitch, flood};
use crate::args::Args;
use crate::element::{Context, Element, read, read_write};
use crate::headers::ETHERNET;
use crate::packet::Batch;
use alloc::string::String;
use core::any::Any;

crate::element! {
    /// Forwards Ethernet frames as EtherSwitch does, and shows every frame to whoever listens.
    ///
    /// It has one output more than inputs: the last, to which a copy of every frame goes.
    ///
    /// # Arguments
    /// `TIMEOUT` (300 s): how long an address is remembered; 0: no address is.
    ///
    /// # Handlers
    /// `table`: addresses and their ports. `timeout`: the argument.
    ListenEtherSwitch "1-/=+" "h/h"
    keywords ["TIMEOUT"]
    handlers [read("table"), read_write("timeout")]
    { switch: EtherSwitch }
}

impl ListenEtherSwitch {
    fn new(args: &mut Args<'_>) -> Self {
        Self { switch: EtherSwitch::new(args) }
    }
}

impl Element for ListenEtherSwitch {
    fn push(&mut self, cx: &mut Context<'_>, port: usize, mut batch: Batch) {
        let (now, listener) = (cx.now(), cx.outputs() - 1);
        while let Some(packet) = batch.pop() {
            let Some(header) = packet.data().first_chunk::<ETHERNET>() else { continue };
            let address = |at: usize| core::array::from_fn(|i| header[at + i]);
            let destination = address(0);
            self.switch.learn(address(6), port, now);
            match self.switch.port(destination, now) {
                None => flood(cx, port, packet),
                Some(to) => {
                    if to != port
                        && let Some(copy) = packet.duplicate()
                    {
                        cx.output_one(to, copy);
                    }
                    cx.output_one(listener, packet);
                }
            }
        }
    }

    fn read(&mut self, cx: &mut Context<'_>, handler: &str, argument: &str) -> Result<String, String> {
        self.switch.read(cx, handler, argument)
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        self.switch.write(cx, handler, value)
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<Self>() {
            self.switch.take_over(&mut old.switch);
        }
    }
}
