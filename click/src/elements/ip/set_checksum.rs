use crate::batch::Batch;
use crate::element::{Class, Context, Element};
use crate::elements::plain;
use crate::headers::{Ipv4Header, checksum};

/// Sets the checksum of IP headers.
///
/// Arguments: none. Needs the network header annotation. One input, one output.
#[derive(Debug, Default)]
pub struct SetIPChecksum;

/// The class.
pub const CLASS: Class = Class {
    name: "SetIPChecksum",
    ports: "1/1",
    processing: "a/a",
    keywords: &[],
    make: plain::<SetIPChecksum>,
};

impl Element for SetIPChecksum {
    fn act(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        for p in batch.iter_mut() {
            let Some(at) = p.network() else { continue };
            let Some(h) = Ipv4Header::read(&p.data()[at..]) else { continue };
            let header = &mut p.data_mut()[at..at + h.header];
            header[10..12].fill(0);
            let sum = checksum(header);
            header[10..12].copy_from_slice(&sum);
        }
    }
}
