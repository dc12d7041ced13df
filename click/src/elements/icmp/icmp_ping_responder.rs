use crate::args::Args;
use crate::element::{Context, Element};
use crate::elements::ip::header;
use crate::headers::{PROTOCOL_ICMP, seal_zeros, update};
use crate::packet::{Batch, PAINT, Packet};

crate::element! {
    /// Answers pings.
    ///
    /// Takes IP packets with the IP header annotation, whoever they are for, and makes echo requests their own answers.
    /// Others go out of output 1, or are dropped if it is not there.
    ///
    /// # Arguments
    /// None.
    ICMPPingResponder "1/1-2" "a/ah" {}
}

impl ICMPPingResponder {
    fn new(_: &mut Args<'_>) -> Self {
        Self {}
    }
}

fn answer(packet: &mut Packet) -> bool {
    let Some((at, h)) = header(packet) else { return false };
    if h.protocol != PROTOCOL_ICMP || h.fragment_offset != 0 {
        return false;
    }
    let data = packet.data_mut();
    let Some(icmp) = data.get_mut(at + h.header..).and_then(|d| d.first_chunk_mut::<8>()) else {
        return false;
    };
    if icmp[0] != 8 {
        return false;
    }
    let sum = update([icmp[2], icmp[3]], [8, icmp[1]], [0, 0]);
    (icmp[0], icmp[1], icmp[2], icmp[3]) = (0, 0, sum[0], sum[1]);
    seal_zeros(&mut data[at + h.header..]);
    let ip = &mut data[at..];
    // No fragment, and a life of its own.
    let sum = update(update([ip[10], ip[11]], [ip[6], ip[7]], [0, 0]), [ip[8], ip[9]], [255, ip[9]]);
    (ip[6], ip[7], ip[8], ip[10], ip[11]) = (0, 0, 255, sum[0], sum[1]);
    data[at + 12..at + 16].copy_from_slice(&h.destination);
    data[at + 16..at + 20].copy_from_slice(&h.source);
    packet.set_destination(h.source);
    packet.user()[PAINT] = 0;
    true
}

impl Element for ICMPPingResponder {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let others = batch.partition(answer);
        let now = cx.host.wall_clock();
        batch.each(|packet| packet.set_timestamp(now));
        cx.output(1, others);
    }
}
