//! The control protocol (version 1.3): other programs read and write handlers over TCP or Unix sockets.
//!
//! [`protocol`] turns bytes into answers, [`server`] accepts connections and moves the bytes, [`element`] is a server in
//! a configuration. The options `-p` and `-u` have a server outside of it, which stays when the configuration changes.

mod element;
pub mod protocol;
mod server;

pub use element::ControlSocket;
pub use server::Server;
