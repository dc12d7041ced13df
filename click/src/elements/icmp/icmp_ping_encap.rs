use super::echo::Encapsulation;
use crate::args::Args;
use crate::element::{Context, Element, read_write};
use crate::packet::Batch;
use alloc::string::String;

crate::element! {
    /// Makes packets the payload of pings: ICMP echo requests.
    ///
    /// # Arguments
    /// `SRC`, `DST`: addresses. `IDENTIFIER` (0). The sequence number counts packets.
    ///
    /// # Handlers
    /// `src`, `dst`: the addresses.
    ICMPPingEncap "1/1" "a/a"
    keywords ["SRC", "DST", "IDENTIFIER"]
    handlers [read_write("src"), read_write("dst")]
    { encapsulation: Encapsulation }
}

impl ICMPPingEncap {
    fn new(args: &mut Args<'_>) -> Self {
        let ends = (args.required("SRC"), args.required("DST"));
        let identifier = args.next("IDENTIFIER").unwrap_or(0);
        Self { encapsulation: Encapsulation::new(ends, (8, 0), identifier) }
    }
}

impl Element for ICMPPingEncap {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.retain_or_else(|packet| self.encapsulation.put(packet), drop);
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(self.encapsulation.read(handler))
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        self.encapsulation.write(cx, handler, value)
    }
}
