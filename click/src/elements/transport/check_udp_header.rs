use crate::args::Args;
use crate::element::{Context, Element, read, write};
use crate::elements::ip::{Faults, Label, header};
use crate::headers::{PROTOCOL_UDP, be16, transport_checksum};
use crate::packet::{Batch, Packet};
use alloc::string::String;

crate::element! {
    /// Checks UDP headers.
    ///
    /// Looks at length and checksum, if there is one, of UDP packets with the IP header annotation. Bad ones, and packets
    /// that are not UDP, go out of output 1, or are dropped if it is not there. Of fragments the first is not checked
    /// further than its length, and others pass.
    ///
    /// # Arguments
    /// `VERBOSE` (false): say what was wrong. `DETAILS` (false): count by reason, which is done anyway.
    ///
    /// # Handlers
    /// `drops`: bad packets. `drop_details`: by reason. `reset_counts`: sets the counts to 0.
    CheckUDPHeader "1/1-2" "a/ah"
    keywords ["VERBOSE", "DETAILS"]
    handlers [read("drops"), read("drop_details"), write("reset_counts")]
    { faults: Faults<3> }
}

const REASONS: [&str; 3] = ["not UDP", "bad packet length", "bad UDP checksum"];

impl CheckUDPHeader {
    fn new(args: &mut Args<'_>) -> Self {
        Self { faults: Faults::new(args, "UDP", Label::None, REASONS) }
    }
}

/// The number of what is wrong.
fn check(packet: &mut Packet) -> Result<(), usize> {
    let (at, h) = header(packet).filter(|(_, h)| h.protocol == PROTOCOL_UDP).ok_or(0usize)?;
    if h.fragment_offset > 0 {
        return Ok(());
    }
    let udp = packet.data().get(at + h.header..at + h.total).filter(|u| u.len() >= 8).ok_or(1usize)?;
    if h.more_fragments {
        return Ok(());
    }
    let length = be16(udp, 4).unwrap_or(0).into();
    let udp = udp.get(..length).filter(|u| u.len() >= 8).ok_or(1usize)?;
    let right = transport_checksum(h.source, h.destination, PROTOCOL_UDP, udp) == [0, 0];
    if udp[6..8] != [0, 0] && !right { Err(2) } else { Ok(()) }
}

impl Element for CheckUDPHeader {
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
