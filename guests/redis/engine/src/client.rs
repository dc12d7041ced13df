//! What is kept of a client.

use crate::resp::parse::{Parser, Span};
use crate::resp::reply::Reply;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

/// Arguments of a command: in the bytes that came, or kept from before.
#[derive(Clone, Copy)]
pub(crate) enum Args<'a> {
    Request(&'a [u8], &'a [Span]),
    Owned(&'a [Vec<u8>]),
}

impl<'a> Args<'a> {
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Request(_, spans) => spans.len(),
            Self::Owned(words) => words.len(),
        }
    }

    /// An argument that is known to be there.
    pub(crate) fn at(self, index: usize) -> &'a [u8] {
        match self {
            Self::Request(bytes, spans) => {
                let span = spans[index];
                &bytes[span.start as usize..span.start as usize + span.length as usize]
            }
            Self::Owned(words) => &words[index],
        }
    }

    pub(crate) fn get(self, index: usize) -> Option<&'a [u8]> {
        (index < self.len()).then(|| self.at(index))
    }

    pub(crate) fn from(self, index: usize) -> impl Iterator<Item = &'a [u8]> {
        (index..self.len()).map(move |i| self.at(i))
    }

    /// Bytes of all arguments, with what a copy of each takes.
    pub(crate) fn copied_bytes(self) -> usize {
        self.from(0).map(|word| word.len() + 96).sum()
    }

    pub(crate) fn to_vecs(self) -> Vec<Vec<u8>> {
        self.from(0).map(<[u8]>::to_vec).collect()
    }

    /// Bytes that storing the arguments takes at the most, whatever type they go to: the copies, what a listpack is
    /// reallocated to meanwhile, and a share of the tables.
    pub(crate) fn memory_estimate(self) -> usize {
        let bytes = |length: usize| length + (5 * length).min(16 << 10) + 320;
        match self {
            Self::Request(_, spans) => spans.iter().map(|s| bytes(s.length as usize)).sum(),
            Self::Owned(words) => words.iter().map(|w| bytes(w.len())).sum(),
        }
    }
}

/// What a client waits for.
#[derive(Debug)]
pub(crate) struct Blocked {
    pub(crate) keys: Vec<Vec<u8>>,
    /// Unix time in milliseconds; `u64::MAX`: for ever.
    pub(crate) deadline: u64,
    /// The command, to be tried again.
    pub(crate) args: Vec<Vec<u8>>,
    /// What it gets in the end: a null, or a null array.
    pub(crate) null_is_bulk: bool,
}

/// A transaction being put together.
#[derive(Debug, Default)]
pub(crate) struct MultiState {
    pub(crate) commands: Vec<Vec<Vec<u8>>>,
    /// A command was refused: EXEC will be.
    pub(crate) dirty_exec: bool,
}

/// One connection.
#[derive(Debug, Default)]
pub(crate) struct Client {
    pub(crate) id: u64,
    pub(crate) peer: String,
    pub(crate) local: String,
    pub(crate) name: String,
    pub(crate) library: String,
    pub(crate) library_version: String,
    pub(crate) db: usize,
    pub(crate) authenticated: bool,
    /// Bytes of a request that is not complete, or that has to wait.
    pub(crate) query_buffer: Vec<u8>,
    pub(crate) parser: Parser,
    /// What is in `input` may be whole requests, which had to wait.
    pub(crate) unprocessed: bool,
    pub(crate) out: Reply,
    pub(crate) multi: Option<MultiState>,
    pub(crate) watched_keys: Vec<(usize, Vec<u8>)>,
    /// A watched key has changed.
    pub(crate) dirty_cas: bool,
    pub(crate) channels: BTreeSet<Vec<u8>>,
    pub(crate) patterns: BTreeSet<Vec<u8>>,
    pub(crate) blocked: Option<Blocked>,
    pub(crate) blocked_db: usize,
    /// Nothing more is read; it is closed once everything was sent.
    pub(crate) close_after_reply: bool,
    /// CLIENT REPLY SKIP: the next command gets no reply.
    pub(crate) reply_skip: bool,
    pub(crate) no_touch: bool,
    pub(crate) created: u64,
    pub(crate) active: u64,
    pub(crate) last_command: &'static str,
}

impl Client {
    pub(crate) fn subscriptions(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    /// Whether its requests have to wait: for something blocking, or until it reads its replies.
    pub(crate) fn must_wait(&self, backlog: usize) -> bool {
        self.blocked.is_some() || self.close_after_reply || self.out.pending().len() > backlog
    }
}
