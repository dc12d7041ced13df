use crate::batch::Batch;
use crate::element::{Class, Context, Element};
use crate::elements::plain;

/// Swaps the Ethernet source and destination of each packet.
///
/// Arguments: none. One input, one output.
#[derive(Debug, Default)]
pub struct EtherMirror;

/// The class.
pub const CLASS: Class =
    Class { name: "EtherMirror", ports: "1/1", processing: "a/a", keywords: &[], make: plain::<EtherMirror> };

impl Element for EtherMirror {
    fn act(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        for p in batch.iter_mut() {
            if let Some(header) = p.data_mut().get_mut(..12) {
                header.rotate_left(6);
            }
        }
    }
}
