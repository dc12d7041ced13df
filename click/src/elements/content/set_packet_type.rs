use crate::args::Args;
use crate::element::{Context, Element};
use crate::packet::{Batch, Kind};
use alloc::format;
use alloc::string::String;

crate::element! {
    /// Sets to whom packets were sent, as a device would see it.
    ///
    /// # Arguments
    /// `TYPE`: `HOST`, `BROADCAST`, `MULTICAST`, or another, which is `OTHERHOST`, `OUTGOING`, `LOOPBACK` or `FASTROUTE`.
    SetPacketType "1/1" "a/a"
    keywords ["TYPE"]
    { kind: Kind }
}

impl SetPacketType {
    fn new(args: &mut Args<'_>) -> Self {
        let text: String = args.required("TYPE");
        let kind = match text.to_ascii_uppercase().as_str() {
            "HOST" => Kind::Host,
            "BROADCAST" => Kind::Broadcast,
            "MULTICAST" => Kind::Multicast,
            "OTHERHOST" | "OUTGOING" | "LOOPBACK" | "FASTROUTE" => Kind::Other,
            _ => {
                args.error(format!("unrecognized packet type '{text}'"));
                Kind::Other
            }
        };
        Self { kind }
    }
}

impl Element for SetPacketType {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| packet.set_kind(self.kind));
    }
}
