use crate::args::{Args, Ethernet};
use crate::element::{Context, Element, read_write};
use crate::handlers::parse;
use crate::headers::ETHERNET;
use crate::packet::Batch;
use alloc::string::{String, ToString};

crate::element! {
    /// Writes other addresses into Ethernet headers.
    ///
    /// Packets without a whole header pass unchanged.
    ///
    /// # Arguments
    /// `SRC`, `DST`: the addresses.
    ///
    /// # Handlers
    /// `src`, `dst`: the arguments.
    EtherRewrite "1/1" "a/a"
    keywords ["SRC", "DST"]
    handlers [read_write("src"), read_write("dst")]
    { source: Ethernet, destination: Ethernet }
}

impl EtherRewrite {
    fn new(args: &mut Args<'_>) -> Self {
        Self { source: args.required("SRC"), destination: args.required("DST") }
    }
}

impl Element for EtherRewrite {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| {
            if let Some(header) = packet.data_mut().first_chunk_mut::<ETHERNET>() {
                header[..6].copy_from_slice(&self.destination.0);
                header[6..12].copy_from_slice(&self.source.0);
            }
        });
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(if handler == "src" { self.source.to_string() } else { self.destination.to_string() })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        let address = parse(cx, value)?;
        if handler == "src" {
            self.source = address;
        } else {
            self.destination = address;
        }
        Ok(())
    }
}
