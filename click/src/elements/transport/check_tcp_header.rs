use crate::args::Args;
use crate::element::{Context, Element, read, write};
use crate::elements::ip::{Faults, Label, header};
use crate::headers::{PROTOCOL_TCP, transport_checksum};
use crate::packet::{Batch, Packet};
use alloc::string::String;

crate::element! {
    /// Checks TCP headers.
    ///
    /// Looks at length, header length and checksum of TCP packets with the IP header annotation. Bad ones, and packets
    /// that are not TCP, go out of output 1, or are dropped if it is not there. Of fragments the first is not checked
    /// further than its length, and others pass.
    ///
    /// # Arguments
    /// `VERBOSE` (false): say what was wrong. `DETAILS` (false): count by reason, which is done anyway.
    ///
    /// # Handlers
    /// `drops`: bad packets. `drop_details`: by reason. `reset_counts`: sets the counts to 0.
    CheckTCPHeader "1/1-2" "a/ah"
    keywords ["VERBOSE", "DETAILS"]
    handlers [read("drops"), read("drop_details"), write("reset_counts")]
    { faults: Faults<4> }
}

const REASONS: [&str; 4] = ["not TCP", "bad packet length", "bad TCP header length", "bad TCP checksum"];

impl CheckTCPHeader {
    fn new(args: &mut Args<'_>) -> Self {
        Self { faults: Faults::new(args, "TCP", Label::Declaration, REASONS) }
    }
}

/// The number of what is wrong.
fn check(packet: &mut Packet) -> Result<(), usize> {
    let (at, h) = header(packet).filter(|(_, h)| h.protocol == PROTOCOL_TCP).ok_or(0usize)?;
    if h.fragment_offset > 0 {
        return Ok(());
    }
    let tcp = packet.data().get(at + h.header..at + h.total).filter(|t| t.len() >= 20).ok_or(1usize)?;
    let length = usize::from(tcp[12] >> 4) * 4;
    if length < 20 || length > tcp.len() {
        return Err(2);
    }
    if !h.more_fragments && transport_checksum(h.source, h.destination, PROTOCOL_TCP, tcp) != [0, 0] {
        return Err(3);
    }
    Ok(())
}

impl Element for CheckTCPHeader {
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
