use crate::args::{Args, Ethernet, Ipv4};
use crate::element::{Context, Element, Nanos};
use crate::headers::{ARP_REPLY, Arp};
use crate::packet::Packet;

/// Time between answers.
const INTERVAL: Nanos = 10_000_000_000;

crate::element! {
    /// Sends an ARP answer that nobody asked for, at the start and every ten seconds.
    ///
    /// # Arguments
    /// `DSTIP`, `DSTETH`: whom to tell. `SRCIP`, `SRCETH`: which address has which.
    ARPFaker "0/1" "h/h"
    keywords ["DSTIP", "DSTETH", "SRCIP", "SRCETH"]
    { answer: Arp }
}

impl ARPFaker {
    fn new(args: &mut Args<'_>) -> Self {
        let target = (args.required::<Ipv4>("DSTIP").0, args.required::<Ethernet>("DSTETH").0);
        let sender = (args.required::<Ipv4>("SRCIP").0, args.required::<Ethernet>("SRCETH").0);
        let answer = Arp { operation: ARP_REPLY, sender: (sender.1, sender.0), target: (target.1, target.0) };
        Self { answer }
    }
}

impl Element for ARPFaker {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), alloc::string::String> {
        cx.wake_at(cx.now());
        Ok(())
    }

    fn timer(&mut self, cx: &mut Context<'_>) {
        if let Some(packet) = Packet::from_bytes(&self.answer.frame(self.answer.target.0)) {
            cx.output_one(0, packet);
        }
        cx.wake_at(cx.now().saturating_add(INTERVAL));
    }
}
