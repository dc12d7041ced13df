use crate::args::Args;
use crate::batch::Batch;
use crate::element::{Class, Context, Element, Handler, read};
use crate::elements::boxed;
use crate::headers::{Ipv4Header, fold, sum};
use crate::packet::Packet;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Lets packets pass whose IPv4 header is right: version, lengths, checksum, a source that can be one. Cuts off what
/// lies beyond the IP length, and sets the network header and destination annotations. Others go to output 1, if it is
/// connected.
///
/// Arguments: `INTERFACES` (addresses with prefixes of this router, separated by spaces: their broadcast addresses are
/// bad sources), `OFFSET` of the header (default 0), keywords `BADSRC` (addresses), `GOODDST` (addresses that INTERFACES
/// would make bad), `CHECKSUM` (default true), `DETAILS`, `VERBOSE` (booleans). Input 0, outputs 0 and 1. Handlers:
/// `drops`, `drop_details` (read).
#[derive(Debug)]
pub struct CheckIPHeader {
    offset: usize,
    checksum: bool,
    verbose: bool,
    bad_sources: Vec<[u8; 4]>,
    drops: [u64; REASONS.len()],
}

/// Reasons to refuse a header.
const REASONS: [&str; 5] =
    ["not IPv4, or too short", "bad header length", "bad IP length", "bad checksum", "bad source address"];

/// The class.
pub const CLASS: Class = Class {
    name: "CheckIPHeader",
    ports: "1/1-2",
    processing: "a/ah",
    keywords: &["INTERFACES", "OFFSET", "BADSRC", "GOODDST", "CHECKSUM", "DETAILS", "VERBOSE"],
    make,
};

fn make(args: &mut Args<'_>) -> Box<dyn Element> {
    let mut bad_sources = alloc::vec![[255; 4]];
    let mut addresses = |args: &mut Args<'_>, text: Option<String>| -> Vec<([u8; 4], u8)> {
        let text = text.unwrap_or_default();
        let words = text.split_whitespace();
        let read = |word| match args.names.prefix(word) {
            Some(prefix) => prefix,
            None => {
                args.error(format!("'{word}' is not an address"));
                ([0; 4], 32)
            }
        };
        words.map(read).collect()
    };
    let interfaces = args.next::<String>("INTERFACES");
    for (network, length) in addresses(args, interfaces) {
        let broadcast = u32::from_be_bytes(network) | !crate::args::mask_bits(length);
        bad_sources.push(broadcast.to_be_bytes());
    }
    let bad = args.key::<String>("BADSRC");
    bad_sources.extend(addresses(args, bad).iter().map(|p| p.0));
    let good = args.key::<String>("GOODDST");
    let good: Vec<[u8; 4]> = addresses(args, good).iter().map(|p| p.0).collect();
    bad_sources.retain(|a| !good.contains(a));
    args.key::<bool>("DETAILS");
    boxed(CheckIPHeader {
        offset: args.next("OFFSET").unwrap_or(0),
        checksum: args.key("CHECKSUM").unwrap_or(true),
        verbose: args.key("VERBOSE").unwrap_or(false),
        bad_sources,
        drops: [0; REASONS.len()],
    })
}

impl CheckIPHeader {
    #[inline]
    fn check(&self, packet: &mut Packet) -> Result<(), usize> {
        let bytes = packet.data().get(self.offset..).ok_or(0usize)?;
        let Some(h) = Ipv4Header::read(bytes) else {
            return Err(if bytes.len() >= 20 && bytes[0] >> 4 == 4 { 1 } else { 0 });
        };
        if h.total < h.header || h.total > bytes.len() {
            return Err(2);
        }
        if self.checksum && fold(sum(&bytes[..h.header])) != 0 {
            return Err(3);
        }
        if self.bad_sources.contains(&h.source) {
            return Err(4);
        }
        packet.truncate(self.offset + h.total);
        packet.set_headers(self.offset, self.offset + h.header);
        packet.set_destination(h.destination);
        Ok(())
    }
}

impl Element for CheckIPHeader {
    #[inline]
    fn act(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let mut bad = Batch::new();
        let mut drops = [0; REASONS.len()];
        let check = |p: &mut Packet| self.check(p).map_err(|reason| drops[reason] += 1).is_ok();
        batch.sift(check, |p| bad.push(p));
        if bad.is_empty() {
            return;
        }
        for (i, n) in drops.into_iter().enumerate().filter(|d| d.1 > 0) {
            if self.verbose || self.drops.iter().all(|&d| d == 0) {
                cx.print(&format!("{}: IP header check failed: {}", cx.name(), REASONS[i]));
            }
            self.drops[i] += n;
        }
        cx.output(1, bad);
    }

    fn handlers(&self) -> &'static [Handler] {
        &[read("drops"), read("drop_details")]
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str) -> String {
        match handler {
            "drops" => self.drops.iter().sum::<u64>().to_string(),
            _ => REASONS.iter().zip(self.drops).map(|(why, n)| format!("{n:15} {why}\n")).collect(),
        }
    }
}
