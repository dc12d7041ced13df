use crate::args::{Args, Ethernet};
use crate::batch::Batch;
use crate::element::{Class, Context, Element, Handler, read};
use crate::elements::boxed;
use crate::headers::{ETHERNET, write_ethernet};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

/// Puts an Ethernet header in front of each packet.
///
/// Arguments: `ETHERTYPE`, `SRC`, `DST`. One input, one output. Handlers: `ethertype`, `src`, `dst` (read).
#[derive(Debug)]
pub struct EtherEncap {
    kind: u16,
    source: [u8; 6],
    destination: [u8; 6],
}

/// The class.
pub const CLASS: Class = Class {
    name: "EtherEncap",
    ports: "1/1",
    processing: "a/a",
    keywords: &["ETHERTYPE", "SRC", "DST"],
    make,
};

fn make(args: &mut Args<'_>) -> Box<dyn Element> {
    boxed(EtherEncap {
        kind: args.required("ETHERTYPE"),
        source: args.required::<Ethernet>("SRC").0,
        destination: args.required::<Ethernet>("DST").0,
    })
}

/// An Ethernet address in words.
pub fn words(mac: [u8; 6]) -> String {
    mac.map(|b| format!("{b:02X}")).join("-")
}

impl Element for EtherEncap {
    #[inline]
    fn act(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let encap = |p: &mut crate::Packet| {
            p.push(ETHERNET).is_some_and(|()| {
                write_ethernet(p.data_mut(), self.destination, self.source, self.kind);
                p.set_mac();
                true
            })
        };
        batch.sift(encap, |p| cx.kill_one(p));
    }

    fn handlers(&self) -> &'static [Handler] {
        &[read("ethertype"), read("src"), read("dst")]
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str) -> String {
        match handler {
            "src" => words(self.source),
            "dst" => words(self.destination),
            _ => format!("{:04X}", self.kind),
        }
    }
}
