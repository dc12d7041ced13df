use crate::args::{Args, Ipv6};
use crate::element::{Context, Element, read_write};
use crate::handlers::parse;
use crate::packet::Batch;
use alloc::string::{String, ToString};

crate::element! {
    /// Sets the IPv6 destination annotation.
    ///
    /// # Arguments
    /// `IPADDR` or `IP6ADDR`: the address.
    ///
    /// # Handlers
    /// `addr`: the argument.
    SetIP6Address "1/1" "a/a"
    keywords ["IPADDR", "IP6ADDR"]
    handlers [read_write("addr")]
    { address: Ipv6 }
}

impl SetIP6Address {
    fn new(args: &mut Args<'_>) -> Self {
        Self { address: args.required(if args.has("IP6ADDR") { "IP6ADDR" } else { "IPADDR" }) }
    }
}

impl Element for SetIP6Address {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| packet.set_destination6(self.address.0));
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.address.to_string())
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        self.address = parse(cx, value)?;
        Ok(())
    }
}
