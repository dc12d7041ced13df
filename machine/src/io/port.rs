//! Devices that only one kind of machine has, served by the I/O thread.

use super::watch::WatchSet;
use super::{PORT_TOKENS, PORTS};
use crate::ending::Ending;
use crate::net::Counters;
use std::io;

/// The epoll tokens of one device. Its events have numbers below 64.
#[derive(Clone, Copy, Debug)]
pub struct Tokens(u64);

impl Tokens {
    /// The tokens of the device at this index.
    pub fn of(place: usize) -> Self {
        Self(PORTS + PORT_TOKENS * place as u64)
    }

    /// The token of the device's event `number`.
    pub fn token(self, number: u64) -> u64 {
        debug_assert!(number < PORT_TOKENS);
        self.0 + number
    }
}

/// A device that the I/O thread serves.
pub trait Port: Send {
    /// Registers its events.
    fn watch(&mut self, tokens: Tokens, watch: &mut WatchSet) -> io::Result<()>;

    /// Serves the event `number`, which is ready or was marked. Returns once why the device's back end is gone, if it is. Errors: the
    /// guest ends.
    fn serve(&mut self, number: u64, tokens: Tokens, watch: &mut WatchSet) -> Result<Option<String>, Ending>;

    /// The guest has ended: sends what it left in the device's queues.
    fn finish(&mut self);

    /// For a net device, its number and counters.
    fn counters(&self) -> Option<(usize, Counters)>;
}
