use crate::args::Args;
use crate::element::{Context, Element, read};
use crate::headers::be16;
use crate::packet::{Batch, Packet};
use alloc::format;
use alloc::string::{String, ToString};

crate::element! {
    /// Checks that packets are ARP packets, and marks their header.
    ///
    /// The network header annotation is set to the ARP header. Other packets leave by output 1, or are dropped if it is not
    /// there.
    ///
    /// # Arguments
    /// `OFFSET` (0): where the header begins. `VERBOSE` (false): say why packets are wrong; of the first that is said anyway.
    /// `DETAILS` (false): count by reason.
    ///
    /// # Handlers
    /// `count`: packets that were right. `drops`: those that were not. `drop_details`: these by reason.
    CheckARPHeader "1/1-2" "a/ah"
    keywords ["OFFSET", "VERBOSE", "DETAILS"]
    handlers [read("count"), read("drops"), read("drop_details")]
    { offset: usize, verbose: bool, count: u64, drops: u64, reasons: [u64; 4] }
}

const REASONS: [&str; 4] =
    ["not ARP", "bad hardware type/length", "bad protocol type/length", "bad ARP operation"];

impl CheckARPHeader {
    fn new(args: &mut Args<'_>) -> Self {
        let offset = args.next("OFFSET").unwrap_or(0);
        let verbose = args.key("VERBOSE").unwrap_or(false);
        args.ignored("DETAILS");
        Self { offset, verbose, count: 0, drops: 0, reasons: [0; 4] }
    }

    /// What is wrong with a packet, by its place among the reasons.
    fn fault(&self, packet: &Packet) -> Option<usize> {
        let arp = packet.data().get(self.offset..).filter(|a| a.len() >= 8)?;
        let (hardware, protocol) = (usize::from(arp[4]), usize::from(arp[5]));
        if arp.len() < 8 + 2 * (hardware + protocol) {
            return Some(0);
        }
        if be16(arp, 0) == Some(1) && hardware != 6 {
            return Some(1);
        }
        if be16(arp, 2) == Some(0x0800) && protocol != 4 {
            return Some(2);
        }
        (be16(arp, 6) == Some(0)).then_some(3)
    }
}

impl Element for CheckARPHeader {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let others = batch.partition(|packet| {
            let short = packet.len() < self.offset + 8;
            let fault = if short { Some(0) } else { self.fault(packet) };
            if let Some(reason) = fault {
                self.reasons[reason] += 1;
                self.drops += 1;
                if self.verbose || self.drops == 1 {
                    cx.print(&format!("ARP header check failed: {}", REASONS[reason]));
                }
                return false;
            }
            self.count += 1;
            packet.set_headers(self.offset, self.offset + 8);
            true
        });
        cx.output(1, others);
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "count" => self.count.to_string(),
            "drops" => self.drops.to_string(),
            _ => REASONS.iter().zip(self.reasons).map(|(reason, n)| format!("{n}\t{reason}\n")).collect(),
        })
    }
}
