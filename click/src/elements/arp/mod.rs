//! ARP for IPv4 on Ethernet.

mod arp_querier;
mod arp_responder;
mod cache;

pub use arp_querier::ARPQuerier;
pub use arp_responder::ARPResponder;
