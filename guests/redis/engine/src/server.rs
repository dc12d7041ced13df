//! What there is besides keys: clients, channels, settings, counters.

use crate::client::Client;
use crate::memory::Credit;
use crate::resp::reply::Reply;
use crate::stats::CallStats;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

/// The version of Redis whose commands these are.
pub(crate) const VERSION: &str = "7.2.0";

/// Settings, as CONFIG shows them.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Bytes; 0: as much as there is.
    pub(crate) max_memory: usize,
    pub(crate) max_clients: usize,
    /// Empty: none.
    pub(crate) password: Vec<u8>,
    pub(crate) port: u16,
    /// Seconds after which a client that says nothing is closed; 0: never.
    pub(crate) timeout: u64,
}

/// Counters that INFO shows.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) commands: u64,
    pub(crate) connections: u64,
    pub(crate) rejected: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) errors: u64,
    pub(crate) overflowed: u64,
}

/// The rest of the state.
pub(crate) struct Server {
    pub(crate) settings: Settings,
    pub(crate) stats: Stats,
    /// Counters of each command and each kind of error.
    pub(crate) calls: CallStats,
    /// A monotonic clock, nanoseconds.
    pub(crate) clock_ns: fn() -> u64,
    /// Time that the guest has not slept, microseconds.
    pub(crate) busy_us: fn() -> u64,
    /// The one whose command runs is taken out meanwhile.
    pub(crate) clients: BTreeMap<u64, Option<Box<Client>>>,
    pub(crate) next_id: u64,
    pub(crate) channels: BTreeMap<Vec<u8>, BTreeSet<u64>>,
    pub(crate) patterns: BTreeMap<Vec<u8>, BTreeSet<u64>>,
    /// Clients that wait, by deadline.
    pub(crate) deadlines: BTreeSet<(u64, u64)>,
    /// Clients that have something to be sent, or that are to be closed, though they sent nothing themselves.
    pub(crate) pending_writes: BTreeSet<u64>,
    pub(crate) started: u64,
    /// Unix time, microseconds.
    pub(crate) micros: u64,
    /// Bytes of the heap that are in use.
    pub(crate) heap_used: fn() -> usize,
    /// Bytes of the heap.
    pub(crate) heap_size: usize,
    /// The most bytes of the heap that were in use.
    pub(crate) peak: usize,
    /// What was found free of the heap by the last try.
    pub(crate) credit: Credit,
    /// SHUTDOWN was asked for.
    pub(crate) shutdown: bool,
}

impl Server {
    /// Bytes that nobody may have: they keep the guest itself going.
    pub(crate) fn reserve(&self) -> usize {
        (self.heap_size / 16).clamp(1 << 20, 32 << 20)
    }

    /// Bytes that may still be taken without touching the reserve.
    pub(crate) fn free(&self) -> usize {
        self.heap_size.saturating_sub(self.reserve()).saturating_sub((self.heap_used)())
    }

    /// Where writing stops: `maxmemory`, or what the heap has if that is less.
    pub(crate) fn limit(&self) -> usize {
        // As much again as the reserve is kept for connections: whoever comes to make room has to be let in.
        let hard = self.heap_size.saturating_sub(2 * self.reserve());
        if self.settings.max_memory == 0 { hard } else { hard.min(self.settings.max_memory) }
    }

    /// Whether `bytes` more would be within `maxmemory` and the hard limit.
    pub(crate) fn is_within_limit(&self, bytes: usize) -> bool {
        (self.heap_used)().saturating_add(bytes) <= self.limit()
    }

    /// Whether there is room for a value of so many bytes, and for making it.
    pub(crate) fn has_room(&mut self, bytes: usize) -> bool {
        self.is_within_limit(bytes) && self.credit.take(bytes)
    }

    /// How long a reply may become: growing takes up to two and a half times as much for a moment.
    pub(crate) fn reply_limit(&self, reply: &Reply) -> usize {
        reply.pending().len() + self.free() / 3
    }

    /// A client other than the one whose command runs.
    pub(crate) fn other(&mut self, id: u64) -> Option<&mut Client> {
        self.clients.get_mut(&id)?.as_deref_mut()
    }

    /// Writes to a client that did not ask.
    pub(crate) fn push_to(&mut self, id: u64, write: impl FnOnce(&mut Reply)) {
        // A subscriber that does not read is cut off well before it takes everybody's memory.
        let most = (self.heap_size / 32).clamp(64 << 10, 8 << 20).min(self.free() / 3);
        let Some(client) = self.other(id) else { return };
        if client.close_after_reply {
            return;
        }
        client.out.limit = most;
        write(&mut client.out);
        client.close_after_reply |= client.out.overflowed;
        self.pending_writes.insert(id);
    }

    /// Ends a connection.
    pub(crate) fn close(&mut self, id: u64) {
        if let Some(client) = self.other(id) {
            client.close_after_reply = true;
            self.pending_writes.insert(id);
        }
    }

    pub(crate) fn subscribe(&mut self, id: u64, name: &[u8], pattern: bool) {
        let map = if pattern { &mut self.patterns } else { &mut self.channels };
        map.entry(name.to_vec()).or_default().insert(id);
    }

    pub(crate) fn unsubscribe(&mut self, id: u64, name: &[u8], pattern: bool) {
        let map = if pattern { &mut self.patterns } else { &mut self.channels };
        if let Some(clients) = map.get_mut(name) {
            clients.remove(&id);
            if clients.is_empty() {
                map.remove(name);
            }
        }
    }

    /// A text like `12.30M`.
    pub(crate) fn human(bytes: usize) -> String {
        let value = bytes as f64;
        match bytes {
            0..1024 => alloc::format!("{bytes}B"),
            1024..1_048_576 => alloc::format!("{:.2}K", value / 1024.0),
            1_048_576..1_073_741_824 => alloc::format!("{:.2}M", value / 1_048_576.0),
            _ => alloc::format!("{:.2}G", value / 1_073_741_824.0),
        }
    }
}
