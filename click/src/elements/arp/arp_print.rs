use crate::args::{Args, Ethernet, Ipv4, stamp};
use crate::element::{Context, Element, read_write};
use crate::elements::content::Printer;
use crate::handlers::parse;
use crate::headers::{ARP_REPLY, ARP_REQUEST, Arp};
use crate::packet::Batch;
use alloc::format;
use alloc::string::{String, ToString};

crate::element! {
    /// Prints ARP packets in words.
    ///
    /// # Arguments
    /// `LABEL`: what to print first. `TIMESTAMP` (true): print it. `ETHER` (false): print the Ethernet header's
    /// addresses. `ACTIVE` (true). `OUTFILE`: a file to print to (on a host).
    ///
    /// # Handlers
    /// `active`: the argument.
    ARPPrint "1/1" "a/a"
    keywords ["LABEL", "TIMESTAMP", "ETHER", "ACTIVE", "OUTFILE"]
    handlers [read_write("active")]
    { label: String, timestamp: bool, ether: bool, active: bool, out: Printer }
}

impl ARPPrint {
    fn new(args: &mut Args<'_>) -> Self {
        Self {
            label: args.next("LABEL").unwrap_or_default(),
            timestamp: args.key("TIMESTAMP").unwrap_or(true),
            ether: args.key("ETHER").unwrap_or(false),
            active: args.key("ACTIVE").unwrap_or(true),
            out: Printer::new(args),
        }
    }

    fn line(&self, timestamp: u64, data: &[u8]) -> String {
        let mut out = if self.label.is_empty() { String::new() } else { format!("{}: ", self.label) };
        if self.timestamp {
            out += &(stamp(timestamp) + ": ");
        }
        let Some(arp) = Arp::read(data) else { return out + "(not ARP for Ethernet and IPv4)" };
        if self.ether {
            let address = |at: usize| Ethernet(core::array::from_fn(|i| data[at + i]));
            out += &format!("{} > {}: ", address(6), address(0));
        }
        let (sender, target) = (Ipv4(arp.sender.1), Ipv4(arp.target.1));
        out + &match arp.operation {
            ARP_REQUEST => format!("arp who-has {target} tell {sender}"),
            ARP_REPLY => format!("arp reply {sender} is-at {}", Ethernet(arp.sender.0)),
            other => format!("arp operation {other} from {sender} to {target}"),
        }
    }
}

impl Element for ARPPrint {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.out.initialize(cx)?;
        cx.take_packets_one_by_one(self.active);
        Ok(())
    }

    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        if self.active {
            batch.each(|packet| self.out.print(cx, &self.line(packet.timestamp(), packet.data())));
        }
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.active.to_string())
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        self.active = parse(cx, value)?;
        self.initialize(cx)
    }
}
