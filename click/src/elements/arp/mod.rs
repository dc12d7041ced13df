//! ARP: who has which Ethernet address (RFC 826).

mod arp_faker;
mod arp_print;
mod arp_querier;
mod arp_responder;
mod arp_table;
pub(crate) mod cache;

pub use arp_faker::ARPFaker;
pub use arp_print::ARPPrint;
pub use arp_querier::ARPQuerier;
pub use arp_responder::ARPResponder;
pub use arp_table::ARPTable;
