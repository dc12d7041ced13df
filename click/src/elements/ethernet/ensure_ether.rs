use crate::args::{Args, Ethernet};
use crate::element::{Context, Element};
use crate::headers::{ETHERNET, ETHERTYPE_IPV4, write_ethernet};
use crate::packet::{Batch, Packet};

crate::element! {
    /// Sees to it that IP packets have an Ethernet header in front.
    ///
    /// Packets whose IP header, by its annotation, stands behind an Ethernet header of the types 0x0800 or 0x86DD stay as
    /// they are; such a header that was stripped is put back; all others get a new one in place of whatever lies in
    /// front of their IP header. Packets without the annotation pass unchanged.
    ///
    /// # Arguments
    /// `ETHERTYPE` (0x0800), `SRC` (1:1:1:1:1:1), `DST` (2:2:2:2:2:2): the new header.
    EnsureEther "1/1" "a/a"
    keywords ["ETHERTYPE", "SRC", "DST"]
    { header: [u8; ETHERNET] }
}

impl EnsureEther {
    fn new(args: &mut Args<'_>) -> Self {
        let kind = args.next("ETHERTYPE").unwrap_or(ETHERTYPE_IPV4);
        let source = args.next("SRC").unwrap_or(Ethernet([1; 6]));
        let destination = args.next("DST").unwrap_or(Ethernet([2; 6]));
        let mut header = [0; ETHERNET];
        write_ethernet(&mut header, destination.0, source.0, kind);
        Self { header }
    }

    /// `false`: there is no room.
    fn ensure(&self, packet: &mut Packet) -> bool {
        let Some(at) = packet.network() else { return true };
        let is_ip = |kind: Option<&[u8]>| matches!(kind, Some([0x08, 0x00] | [0x86, 0xdd]));
        if at == ETHERNET && is_ip(packet.data().get(12..14)) {
            return true;
        }
        if at == 0 && is_ip(packet.in_front(ETHERNET).map(|header| &header[12..14])) {
            return packet.push(ETHERNET).is_some();
        }
        if !packet.pull(at) || packet.push(ETHERNET).is_none() {
            return false;
        }
        packet.data_mut()[..ETHERNET].copy_from_slice(&self.header);
        packet.set_mac();
        true
    }
}

impl Element for EnsureEther {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.retain_or_else(|packet| self.ensure(packet), drop);
    }
}
