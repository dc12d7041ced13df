use super::echo::Encapsulation;
use crate::args::{Args, parse_number};
use crate::element::{Context, Element, read_write};
use crate::packet::Batch;
use alloc::format;
use alloc::string::String;

crate::element! {
    /// Puts ICMP and IP headers in front of packets.
    ///
    /// # Arguments
    /// `SRC`, `DST`: addresses. `TYPE`: a number, or `echo`, `echo_reply`. `CODE` (0). `IDENTIFIER` (0): for messages
    /// that have one; their sequence number counts packets.
    ///
    /// # Handlers
    /// `src`, `dst`: the addresses.
    ICMPIPEncap "1/1" "a/a"
    keywords ["SRC", "DST", "TYPE", "CODE", "IDENTIFIER"]
    handlers [read_write("src"), read_write("dst")]
    { encapsulation: Encapsulation }
}

impl ICMPIPEncap {
    fn new(args: &mut Args<'_>) -> Self {
        let ends = (args.required("SRC"), args.required("DST"));
        let text: String = args.required("TYPE");
        let kind = match text.as_str() {
            "echo" => Some(8),
            "echo_reply" | "echo-reply" => Some(0),
            number => parse_number(number).and_then(|n| u8::try_from(n).ok()),
        };
        if kind.is_none() {
            args.error(format!("TYPE: expected an ICMP type, not '{text}'"));
        }
        let code = args.next("CODE").unwrap_or(0);
        let identifier = args.next("IDENTIFIER").unwrap_or(0);
        Self { encapsulation: Encapsulation::new(ends, (kind.unwrap_or(0), code), identifier) }
    }
}

impl Element for ICMPIPEncap {
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
