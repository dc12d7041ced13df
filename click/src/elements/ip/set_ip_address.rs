use super::annotation_place;
use crate::args::{Args, Ipv4};
use crate::element::{Context, Element, read_write};
use crate::handlers::parse;
use crate::packet::Batch;
use alloc::string::{String, ToString};

crate::element! {
    /// Sets the destination annotation.
    ///
    /// # Arguments
    /// `IPADDR`: the address. `ANNO` (0): the annotation's place in the user annotations, by number or name.
    ///
    /// # Handlers
    /// `addr`: the argument.
    SetIPAddress "1/1" "a/a"
    keywords ["IPADDR", "ANNO"]
    handlers [read_write("addr")]
    { address: Ipv4, place: usize }
}

impl SetIPAddress {
    fn new(args: &mut Args<'_>) -> Self {
        Self { address: args.required("IPADDR"), place: annotation_place(args) }
    }
}

impl Element for SetIPAddress {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| packet.user()[self.place..self.place + 4].copy_from_slice(&self.address.0));
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.address.to_string())
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        self.address = parse(cx, value)?;
        Ok(())
    }
}
