use crate::args::Args;
use crate::element::{Context, Element, read, write};
use crate::elements::ip::{Faults, Label, header};
use crate::headers::{PROTOCOL_ICMP, checksum};
use crate::packet::{Batch, Packet};
use alloc::string::String;

crate::element! {
    /// Checks ICMP headers.
    ///
    /// Looks at length and checksum of ICMP packets with the IP header annotation. Bad ones, and packets that are not
    /// ICMP, go out of output 1, or are dropped if it is not there. Fragments are checked for length alone.
    ///
    /// # Arguments
    /// `VERBOSE` (false): say what was wrong. `DETAILS` (false): count by reason, which is done anyway.
    ///
    /// # Handlers
    /// `drops`: bad packets. `drop_details`: by reason. `reset_counts`: sets the counts to 0.
    CheckICMPHeader "1/1-2" "a/ah"
    keywords ["VERBOSE", "DETAILS"]
    handlers [read("drops"), read("drop_details"), write("reset_counts")]
    { faults: Faults<3> }
}

const REASONS: [&str; 3] = ["not ICMP", "bad packet length", "bad ICMP checksum"];

impl CheckICMPHeader {
    fn new(args: &mut Args<'_>) -> Self {
        Self { faults: Faults::new(args, "ICMP", Label::Declaration, REASONS) }
    }
}

/// The number of what is wrong.
fn check(packet: &mut Packet) -> Result<(), usize> {
    let (at, h) = header(packet).filter(|(_, h)| h.protocol == PROTOCOL_ICMP).ok_or(0usize)?;
    if h.fragment_offset > 0 {
        return Ok(());
    }
    let icmp = packet.data().get(at + h.header..at + h.total).filter(|i| i.len() >= 8).ok_or(1usize)?;
    let least = match icmp[0] {
        // Errors carry a header, timestamps three times, masks one.
        3 | 4 | 5 | 11 | 12 => 8 + 20,
        13 | 14 => 20,
        17 | 18 => 12,
        _ => 8,
    };
    if icmp.len() < least {
        return Err(1);
    }
    if !h.more_fragments && checksum(icmp) != [0, 0] { Err(2) } else { Ok(()) }
}

impl Element for CheckICMPHeader {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        self.faults.sift(cx, batch, check);
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(self.faults.read(handler))
    }

    fn write(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<(), String> {
        self.faults.reset();
        Ok(())
    }
}
