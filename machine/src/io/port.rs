//! Devices that a kind of machine brings to the I/O thread, beside the net devices that every kind has.

use super::watch::WatchSet;
use super::{PORT_TOKENS, PORTS};
use crate::ending::Ending;
use crate::net::Counters;
use std::io;

/// The tokens of one device: what it waits for has numbers below 64.
#[derive(Clone, Copy, Debug)]
pub struct Tokens(u64);

impl Tokens {
    /// Those of the device at this place among all that the machine brings.
    pub fn of(place: usize) -> Self {
        Self(PORTS + PORT_TOKENS * place as u64)
    }

    /// The token of what has a number.
    pub fn token(self, number: u64) -> u64 {
        debug_assert!(number < PORT_TOKENS);
        self.0 + number
    }
}

/// A device that the I/O thread serves.
pub trait Port: Send {
    /// Has all that can happen to it waited for.
    fn watch(&mut self, tokens: Tokens, watch: &mut WatchSet) -> io::Result<()>;

    /// Serves what has a number and is ready, or was to be looked at again. Says why the device's other end is gone, once,
    /// if it is. Errors: the guest ends.
    fn serve(&mut self, number: u64, tokens: Tokens, watch: &mut WatchSet) -> Result<Option<String>, Ending>;

    /// The guest has ended: what it has left in the device goes out.
    fn finish(&mut self);

    /// For a net device, its number and what has passed it.
    fn counters(&self) -> Option<(usize, Counters)>;
}
