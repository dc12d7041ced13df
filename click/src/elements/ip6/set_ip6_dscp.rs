use super::header;
use crate::args::Args;
use crate::element::{Context, Element, read_write};
use crate::handlers::parse;
use crate::packet::Batch;
use alloc::string::{String, ToString};

crate::element! {
    /// Sets the DSCP of IPv6 packets (RFC 2474).
    ///
    /// The header is found by the network header annotation.
    ///
    /// # Arguments
    /// `DSCP`: 0 to 63.
    ///
    /// # Handlers
    /// `dscp`: the argument.
    SetIP6DSCP "1/1" "a/a"
    keywords ["DSCP"]
    handlers [read_write("dscp")]
    { dscp: u8 }
}

impl SetIP6DSCP {
    fn new(args: &mut Args<'_>) -> Self {
        let dscp: u8 = args.required("DSCP");
        if dscp > 63 {
            args.error("diffserv code point out of range");
        }
        Self { dscp: dscp & 63 }
    }
}

impl Element for SetIP6DSCP {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| {
            let Some((at, _)) = header(packet) else { return };
            // Between the version and the flow label lie six bits of it and two of ECN.
            let data = packet.data_mut();
            data[at] = data[at] & 0xf0 | self.dscp >> 2;
            data[at + 1] = data[at + 1] & 0x3f | self.dscp << 6;
        });
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.dscp.to_string())
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        self.dscp =
            parse::<u8>(cx, value).ok().filter(|d| *d < 64).ok_or("diffserv code point out of range")?;
        Ok(())
    }
}
