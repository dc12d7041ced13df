use crate::batch::Batch;
use crate::element::{Class, Context, Element};
use crate::elements::plain;
use crate::headers::{Ipv4Header, PROTOCOL_TCP, PROTOCOL_UDP};

/// Swaps source and destination of IP packets, and of TCP and UDP their ports: back to the sender. Checksums stay right.
///
/// Arguments: none. Needs the network header annotation. One input, one output.
#[derive(Debug, Default)]
pub struct IPMirror;

/// The class.
pub const CLASS: Class =
    Class { name: "IPMirror", ports: "1/1", processing: "a/a", keywords: &[], make: plain::<IPMirror> };

impl Element for IPMirror {
    fn act(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        for p in batch.iter_mut() {
            let Some(at) = p.network() else { continue };
            let Some(h) = Ipv4Header::read(&p.data()[at..]) else { continue };
            let data = &mut p.data_mut()[at..];
            data[12..20].rotate_left(4);
            if h.fragment_offset == 0
                && [PROTOCOL_TCP, PROTOCOL_UDP].contains(&h.protocol)
                && let Some(ports) = data.get_mut(h.header..h.header + 4)
            {
                ports.rotate_left(2);
            }
            p.set_destination(h.source);
        }
    }
}
