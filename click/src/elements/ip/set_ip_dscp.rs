use super::{header, rewrite};
use crate::args::Args;
use crate::element::{Context, Element, read_write};
use crate::handlers::parse;
use crate::packet::Batch;
use alloc::string::{String, ToString};

crate::element! {
    /// Sets the DSCP of IP packets, the upper 6 bits of their type of service, and keeps the checksum right.
    ///
    /// The header is found by the IP header annotation.
    ///
    /// # Arguments
    /// `DSCP`: a number from 0 to 63.
    ///
    /// # Handlers
    /// `dscp`: the argument.
    SetIPDSCP "1/1" "a/a"
    keywords ["DSCP"]
    handlers [read_write("dscp")]
    { dscp: u8 }
}

impl SetIPDSCP {
    fn new(args: &mut Args<'_>) -> Self {
        let dscp: u8 = args.required("DSCP");
        if dscp > 63 {
            args.error("DSCP: expected a number from 0 to 63");
        }
        Self { dscp: dscp & 63 }
    }
}

impl Element for SetIPDSCP {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| {
            if let Some((at, _)) = header(packet) {
                let ip = &mut packet.data_mut()[at..];
                let word = [ip[0], self.dscp << 2 | ip[1] & 3];
                rewrite(ip, 0, &word);
            }
        });
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.dscp.to_string())
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        let dscp: u8 = parse(cx, value)?;
        if dscp > 63 {
            return Err("expected a number from 0 to 63".to_string());
        }
        self.dscp = dscp;
        Ok(())
    }
}
