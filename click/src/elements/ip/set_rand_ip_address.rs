use crate::args::{Args, Prefix, mask_bits};
use crate::element::{Context, Element};
use crate::packet::Batch;
use alloc::vec::Vec;

/// Most addresses that are kept.
const MOST: usize = 1 << 16;

crate::element! {
    /// Sets the destination annotation to a random address of a network.
    ///
    /// # Arguments
    /// `PREFIX`: the network. `LIMIT` (-1): how many different addresses; negative: no limit. At most 65536 are kept.
    SetRandIPAddress "1/1" "a/a"
    keywords ["PREFIX", "LIMIT"]
    { prefix: Prefix, limit: Option<usize>, used: Vec<[u8; 4]> }
}

impl SetRandIPAddress {
    fn new(args: &mut Args<'_>) -> Self {
        let prefix = args.required("PREFIX");
        let limit = args.next::<i64>("LIMIT").and_then(|l| usize::try_from(l).ok()).map(|l| l.clamp(1, MOST));
        Self { prefix, limit, used: Vec::new() }
    }
}

impl Element for SetRandIPAddress {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let network = u32::from_be_bytes(self.prefix.0);
        batch.each(|packet| {
            let random = cx.random();
            let fresh = (network | (random >> 32) as u32 & !mask_bits(self.prefix.1)).to_be_bytes();
            let address = match self.limit {
                Some(limit) if self.used.len() >= limit => self.used[random as u32 as usize % limit],
                Some(_) => {
                    self.used.push(fresh);
                    fresh
                }
                None => fresh,
            };
            packet.set_destination(address);
        });
    }
}
