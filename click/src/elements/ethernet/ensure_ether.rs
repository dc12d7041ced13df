use crate::args::{Args, Ethernet};
use crate::element::{Context, Element};
use crate::headers::{ETHERNET, ETHERTYPE_IPV4, write_ethernet};
use crate::packet::{Batch, Packet};

crate::element! {
    /// Sees to it that IP packets have an Ethernet header in front.
    ///
    /// Packets that begin with their IP header, by its annotation, get the header that was stripped back if there is
    /// one, and a new one otherwise. Those that have bytes in front stay as they are; if those cannot be an Ethernet
    /// header, packets leave by output 1, or are dropped if it is not there.
    ///
    /// # Arguments
    /// `ETHERTYPE` (0x0800), `SRC` (1:1:1:1:1:1), `DST` (2:2:2:2:2:2): the new header.
    EnsureEther "1/1-2" "a/ah"
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

    fn ensure(&self, packet: &mut Packet) -> bool {
        match packet.network() {
            Some(0) if packet.mac_in_front() == Some(ETHERNET) => packet.push(ETHERNET).is_some(),
            Some(0) => {
                if packet.push(ETHERNET).is_none() {
                    return false;
                }
                packet.data_mut()[..ETHERNET].copy_from_slice(&self.header);
                packet.set_mac();
                true
            }
            Some(ETHERNET) => packet.data()[12..14] == self.header[12..14],
            _ => false,
        }
    }
}

impl Element for EnsureEther {
    fn act(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let mut others = Batch::new();
        batch.sift(|packet| self.ensure(packet), |packet| others.push(packet));
        cx.output(1, others);
    }
}
