use crate::args::{Args, Ethernet};
use crate::element::{Context, Element, read_write, write};
use crate::handlers::parse;
use crate::headers::ETHERNET;
use crate::packet::Batch;
use alloc::format;
use alloc::string::{String, ToString};

crate::element! {
    /// Puts an Ethernet header in front of packets.
    ///
    /// # Arguments
    /// `ETHERTYPE`: protocol of the payload (0x0800: IPv4). `SRC`, `DST`: addresses.
    ///
    /// # Handlers
    /// `src`, `dst`, `ethertype` (`etht` when written): the arguments.
    EtherEncap "1/1" "a/a"
    keywords ["ETHERTYPE", "SRC", "DST"]
    handlers [read_write("src"), read_write("dst"), read_write("ethertype"), write("etht")]
    { header: [u8; ETHERNET] }
}

impl EtherEncap {
    fn new(args: &mut Args<'_>) -> Self {
        let kind: u16 = args.required("ETHERTYPE");
        let (source, destination) = (args.required::<Ethernet>("SRC").0, args.required::<Ethernet>("DST").0);
        let mut header = [0; ETHERNET];
        crate::headers::write_ethernet(&mut header, destination, source, kind);
        Self { header }
    }

    fn address(&self, at: usize) -> Ethernet {
        Ethernet(core::array::from_fn(|i| self.header[at + i]))
    }
}

impl Element for EtherEncap {
    #[inline]
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.retain_or_else(
            |packet| {
                let Some(()) = packet.push(ETHERNET) else { return false };
                packet.data_mut()[..ETHERNET].copy_from_slice(&self.header);
                packet.set_mac();
                true
            },
            drop,
        );
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "src" => format!("{}", self.address(6)),
            "dst" => format!("{}", self.address(0)),
            _ => u16::from_be_bytes([self.header[12], self.header[13]]).to_string(),
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "src" => self.header[6..12].copy_from_slice(&parse::<Ethernet>(cx, value)?.0),
            "dst" => self.header[..6].copy_from_slice(&parse::<Ethernet>(cx, value)?.0),
            _ => self.header[12..].copy_from_slice(&parse::<u16>(cx, value)?.to_be_bytes()),
        }
        Ok(())
    }
}
