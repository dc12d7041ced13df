//! Ethernet headers.

mod ether_encap;
mod ether_mirror;

pub use ether_encap::EtherEncap;
pub use ether_mirror::EtherMirror;
