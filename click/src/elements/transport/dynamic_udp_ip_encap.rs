use super::UDPIPEncap;
use crate::args::Args;
use crate::element::{Context, Element};
use crate::packet::Batch;

crate::element! {
    /// Puts UDP and IP headers in front of packets, with other ports from time to time.
    ///
    /// # Arguments
    /// `SRC`, `SPORT`, `DST`, `DPORT`, `CHECKSUM`: as UDPIPEncap's. `INTERVAL` (0): both ports go up by one after so many
    /// packets; 0: they stay.
    DynamicUDPIPEncap "1/1" "a/a"
    keywords ["SRC", "SPORT", "DST", "DPORT", "CHECKSUM", "INTERVAL"]
    { encap: UDPIPEncap, interval: u32, count: u32 }
}

impl DynamicUDPIPEncap {
    fn new(args: &mut Args<'_>) -> Self {
        Self { encap: UDPIPEncap::new(args), interval: args.next("INTERVAL").unwrap_or(0), count: 0 }
    }
}

impl Element for DynamicUDPIPEncap {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.retain_or_else(
            |packet| {
                let done = self.encap.encapsulate(packet);
                self.count += 1;
                if self.count >= self.interval {
                    self.count = 0;
                    let ends = &mut self.encap.ends;
                    if self.interval > 0 {
                        ends.source.1 = ends.source.1.wrapping_add(1);
                        ends.destination.1 = ends.destination.1.wrapping_add(1);
                    }
                }
                done
            },
            drop,
        );
    }
}
