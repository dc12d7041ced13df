//! Sockets of the host's network: streams and datagrams, multicast, raw IP.

mod chatter_socket;
mod link;
mod mcast_socket;
mod raw_socket;
mod socket;

pub use chatter_socket::{ChatterSocket, tell};
pub use mcast_socket::McastSocket;
pub use raw_socket::RawSocket;
pub use socket::{Socket, ToSocket};
