use super::{header, rewrite};
use crate::args::Args;
use crate::element::{Context, Element, argument};
use crate::packet::Batch;
use alloc::format;
use alloc::string::String;

crate::element! {
    /// Sets the congestion bits of IP packets (RFC 3168), and keeps the checksum right.
    ///
    /// The header is found by the IP header annotation.
    ///
    /// # Arguments
    /// `ECN`: a number from 0 to 3, or `no`, `ECT(1)` or `ECT1`, `ECT(0)` or `ECT0`, `CE`.
    ///
    /// # Handlers
    /// `ecn`: the argument.
    SetIPECN "1/1" "a/a"
    keywords ["ECN"]
    handlers [argument("ecn", 0)]
    { bits: u8 }
}

impl SetIPECN {
    fn new(args: &mut Args<'_>) -> Self {
        let text: String = args.required("ECN");
        let bits = match text.to_ascii_lowercase().as_str() {
            "0" | "no" | "not-ect" | "-" => 0,
            "1" | "ect(1)" | "ect1" => 1,
            "2" | "ect(0)" | "ect0" | "ect2" => 2,
            "3" | "ce" => 3,
            _ => {
                args.error(format!(
                    "ECN: expected a number from 0 to 3, or no, ECT0, ECT1 or CE, not '{text}'"
                ));
                0
            }
        };
        Self { bits }
    }
}

impl Element for SetIPECN {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| {
            if let Some((at, _)) = header(packet) {
                let ip = &mut packet.data_mut()[at..];
                let word = [ip[0], ip[1] & !3 | self.bits];
                rewrite(ip, 0, &word);
            }
        });
    }
}
