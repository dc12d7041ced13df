use crate::args::Args;
use crate::batch::Batch;
use crate::element::{Class, Context, Element, Handler, read};
use crate::elements::boxed;
use crate::headers::update;
use crate::packet::Packet;
use alloc::boxed::Box;
use alloc::string::{String, ToString};

/// Decrements the time to live of IP packets and updates their checksum. Packets whose time is over go to output 1, if
/// it is connected, unchanged.
///
/// Arguments: keywords `ACTIVE` (default true), `MULTICAST` (default true: also packets to groups). Input 0, outputs 0
/// and 1. Handlers: `drops` (read).
#[derive(Debug)]
pub struct DecIPTTL {
    active: bool,
    multicast: bool,
    drops: u64,
}

/// The class.
pub const CLASS: Class = Class {
    name: "DecIPTTL",
    ports: "1/1-2",
    processing: "a/ah",
    keywords: &["ACTIVE", "MULTICAST"],
    make,
};

fn make(args: &mut Args<'_>) -> Box<dyn Element> {
    let (active, multicast) = (args.key("ACTIVE").unwrap_or(true), args.key("MULTICAST").unwrap_or(true));
    boxed(DecIPTTL { active, multicast, drops: 0 })
}

impl DecIPTTL {
    #[inline]
    fn decrement(&self, packet: &mut Packet) -> bool {
        let Some(at) = packet.network() else { return true };
        let Some(header) = packet.data_mut().get_mut(at..at + 20) else { return true };
        if !self.multicast && header[16] >= 224 {
            return true;
        }
        if header[8] <= 1 {
            return false;
        }
        let old = [header[8], header[9]];
        header[8] -= 1;
        let sum = update([header[10], header[11]], old, [header[8], header[9]]);
        header[10..12].copy_from_slice(&sum);
        true
    }
}

impl Element for DecIPTTL {
    #[inline]
    fn act(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        if !self.active {
            return;
        }
        let mut over = Batch::new();
        batch.sift(|p| self.decrement(p), |p| over.push(p));
        self.drops += over.len() as u64;
        cx.output(1, over);
    }

    fn handlers(&self) -> &'static [Handler] {
        &[read("drops")]
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str) -> String {
        self.drops.to_string()
    }
}
