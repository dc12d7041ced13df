use super::CheckIPHeader;
use crate::args::Args;
use crate::element::{Context, Element, read, write};
use crate::headers::ETHERNET;
use crate::packet::{Batch, PAINT};
use alloc::string::String;

crate::element! {
    /// Does what an IP router does first: paints packets, strips their Ethernet header, and checks the IP header.
    ///
    /// The same as `Paint(COLOR) -> Strip(14) -> CheckIPHeader(...)`; bad packets leave by output 1, or are dropped if it
    /// is not there.
    ///
    /// # Arguments
    /// `COLOR`: the paint. `BADSRC`, `INTERFACES`, `GOODDST`, `CHECKSUM`, `VERBOSE`, `DETAILS`: as in `CheckIPHeader`.
    ///
    /// # Handlers
    /// `drops`: bad packets. `drop_details`: by reason. `reset_counts`: sets the counts to 0.
    IPInputCombo "1/1-2" "a/ah"
    keywords ["COLOR", "BADSRC", "INTERFACES", "GOODDST", "CHECKSUM", "VERBOSE", "DETAILS"]
    handlers [read("drops"), read("drop_details"), write("reset_counts")]
    { color: u8, check: CheckIPHeader }
}

impl IPInputCombo {
    fn new(args: &mut Args<'_>) -> Self {
        Self { color: args.required("COLOR"), check: CheckIPHeader::new(args) }
    }
}

impl Element for IPInputCombo {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| {
            packet.user()[PAINT] = self.color;
            if !packet.pull(ETHERNET) {
                packet.truncate(0);
            }
        });
        self.check.simple_action(cx, batch);
    }

    fn read(&mut self, cx: &mut Context<'_>, handler: &str, argument: &str) -> Result<String, String> {
        self.check.read(cx, handler, argument)
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        self.check.write(cx, handler, value)
    }
}
