//! From bytes to commands and back: feeds requests to commands, wakes who waits, keeps limits.

use crate::blocked::unblock_client;
use crate::client::{Args, Client, MultiState};
use crate::commands::{self, Call, Command, flags};
use crate::error::Error;
use crate::memory::{Credit, can_allocate_buffer};
use crate::resp::parse::{Parsed, Parser};
use crate::server::{Server, Settings, Stats};
use crate::stats::CallStats;
use crate::store::keyspace::Keyspace;
use crate::table::Seed;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

/// Bytes of replies that a client may leave unread before its next command has to wait.
const BACKLOG: usize = 64 << 10;

/// What a command that grows values may take beyond its arguments, bytes: a listpack that becomes a table, shards that
/// are split, nodes of trees.
pub(crate) const COMMAND_BYTES: usize = 64 << 10;
/// Keys evicted for one command at the most, when memory is free but fragmented.
const EVICTIONS: usize = 1000;

/// Evicts keys until there is room for so many bytes.
pub(crate) fn make_room(store: &mut Keyspace, server: &mut Server, bytes: usize) -> Result<(), Error> {
    let mut fragmented = 0;
    while !server.has_room(bytes) {
        fragmented += usize::from(server.is_within_limit(bytes));
        if fragmented > EVICTIONS || !store.evict() {
            return Err(Error::Memory);
        }
    }
    Ok(())
}

/// What an engine is given to begin with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Random, and nobody else's business: keeps clients from choosing keys that collide.
    pub seed: [u64; 2],
    /// Tells how many bytes of the heap are in use.
    pub heap_used: fn() -> usize,
    /// Bytes that the heap has.
    pub heap_size: usize,
    /// A monotonic clock, nanoseconds.
    pub clock_ns: fn() -> u64,
    /// Time that the guest has not slept, microseconds.
    pub busy_us: fn() -> u64,
    /// `maxmemory`; without it, what the heap leaves after connections and room to work in.
    pub max_memory: Option<usize>,
    /// `maxclients`.
    pub max_clients: usize,
    /// `requirepass`; empty: none.
    pub password: String,
    /// The port that is served, for INFO.
    pub port: u16,
}

/// Without clocks, for a heap of 64 MiB of which nothing is in use, with a seed that everybody knows.
impl Default for Setup {
    fn default() -> Self {
        Self {
            seed: [1, 2],
            heap_used: || 0,
            heap_size: 64 << 20,
            clock_ns: || 0,
            busy_us: || 0,
            max_memory: Some(0),
            max_clients: 10,
            password: String::new(),
            port: 6379,
        }
    }
}

/// A Redis server without a network.
pub struct Engine {
    pub(crate) store: Keyspace,
    pub(crate) server: Server,
    parser: Parser,
    /// Memory lent to replies.
    spare: Vec<u8>,
}

impl Engine {
    /// An empty one, at this time (Unix, microseconds).
    pub fn new(setup: Setup, now_us: u64) -> Self {
        let mut server = Server {
            settings: Settings {
                max_memory: 0,
                max_clients: setup.max_clients,
                password: setup.password.into_bytes(),
                port: setup.port,
                timeout: 0,
            },
            stats: Stats::default(),
            calls: CallStats::new(),
            clock_ns: setup.clock_ns,
            busy_us: setup.busy_us,
            clients: BTreeMap::new(),
            next_id: 1,
            channels: BTreeMap::new(),
            patterns: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            pending_writes: BTreeSet::new(),
            started: now_us,
            micros: now_us,
            heap_used: setup.heap_used,
            heap_size: setup.heap_size,
            peak: 0,
            credit: Credit::default(),
            shutdown: false,
        };
        server.settings.max_memory = setup
            .max_memory
            .unwrap_or((setup.heap_size - setup.heap_size / 4).saturating_sub(server.reserve()));
        let mut store = Keyspace::new(Seed(setup.seed[0], setup.seed[1]));
        store.now = now_us / 1000;
        Self { store, server, parser: Parser::default(), spare: Vec::new() }
    }

    /// Says what time it is (Unix, microseconds).
    pub fn set_time(&mut self, now_us: u64) {
        self.server.micros = now_us;
        self.store.now = now_us / 1000;
    }

    /// How many clients there may be.
    pub fn max_clients(&self) -> usize {
        self.server.settings.max_clients
    }

    /// A client has connected. Gives its number.
    pub fn connect(&mut self, peer: String, local: String) -> u64 {
        let id = self.server.next_id;
        self.server.next_id += 1;
        self.server.stats.connections += 1;
        let now = self.store.now;
        let authenticated = self.server.settings.password.is_empty();
        let client =
            Client { id, peer, local, authenticated, created: now, active: now, ..Client::default() };
        self.server.clients.insert(id, Some(Box::new(client)));
        id
    }

    /// A connection was turned away.
    pub fn reject(&mut self) {
        self.server.stats.rejected += 1;
    }

    /// A client is gone.
    pub fn disconnect(&mut self, id: u64) {
        let Some(Some(mut client)) = self.server.clients.remove(&id) else { return };
        self.server.pending_writes.remove(&id);
        self.unlink(&mut client);
    }

    /// Takes a client out of everything that knows it.
    fn unlink(&mut self, client: &mut Client) {
        unblock_client(&mut self.store, &mut self.server, client);
        commands::transactions::unwatch(&mut self.store, client);
        commands::pubsub::leave(&mut self.server, client);
    }

    /// Takes what a client has sent; how many bytes of it. The rest has to be given again, when the client has read its
    /// replies or does not wait any more. With no bytes, goes on with what was left.
    pub fn feed(&mut self, id: u64, bytes: &[u8]) -> usize {
        let Some(mut client) = self.server.clients.get_mut(&id).and_then(Option::take) else {
            return bytes.len();
        };
        let consumed =
            if client.close_after_reply { bytes.len() } else { self.process_input(&mut client, bytes) };
        self.server.stats.bytes_in += consumed as u64;
        if client.close_after_reply {
            (client.query_buffer, client.parser) = (Vec::new(), Parser::default());
        }
        if let Some(place) = self.server.clients.get_mut(&id) {
            *place = Some(client);
        }
        self.serve_blocked_clients();
        consumed
    }

    fn process_input(&mut self, client: &mut Client, bytes: &[u8]) -> usize {
        client.active = self.store.now;
        if client.must_wait(BACKLOG) {
            return 0;
        }
        client.out.lend(&mut self.spare);
        if client.query_buffer.is_empty() {
            let mut parser = core::mem::take(&mut self.parser);
            parser.reset();
            let done = self.requests(client, &mut parser, bytes);
            let mut consumed = done;
            if !client.must_wait(BACKLOG) && done < bytes.len() {
                // The beginning of a request.
                consumed = bytes.len();
                if self.append_query_buffer(client, &parser, &bytes[done..]) {
                    client.parser = core::mem::take(&mut parser);
                }
            }
            if parser.spans.capacity() <= 4096 {
                self.parser = parser;
            }
            return consumed;
        }
        let mut parser = core::mem::take(&mut client.parser);
        let consumed = if self.append_query_buffer(client, &parser, bytes) { bytes.len() } else { 0 };
        if !client.close_after_reply {
            let input = core::mem::take(&mut client.query_buffer);
            let done = self.requests(client, &mut parser, &input);
            client.query_buffer = input;
            client.query_buffer.drain(..done);
            client.unprocessed = client.must_wait(BACKLOG) && !client.query_buffer.is_empty();
            if client.query_buffer.is_empty() {
                client.query_buffer = Vec::new();
                parser = Parser::default();
            } else if client.query_buffer.capacity() > 4 * client.query_buffer.len() + 4096 {
                client.query_buffer.shrink_to(2 * client.query_buffer.len());
            }
            client.parser = parser;
        }
        consumed
    }

    /// Keeps the part of a request that has come; whether there was room for it.
    fn append_query_buffer(&mut self, client: &mut Client, parser: &Parser, bytes: &[u8]) -> bool {
        let after = client.query_buffer.len() + bytes.len();
        if after > client.query_buffer.capacity() {
            // As much as was announced, as far as it is not much more than what has come.
            let announced = client.query_buffer.len() + parser.missing(client.query_buffer.len());
            let wanted = announced.min(2 * after).max(after + after / 2);
            let spans = parser.spans.capacity() * 24;
            let free = self.server.free() / 2;
            let fits = |bytes: usize| bytes <= free && can_allocate_buffer(bytes);
            let wanted = if fits(wanted + spans) { wanted } else { after };
            let more = wanted.saturating_sub(client.query_buffer.len());
            if !fits(wanted + spans) || client.query_buffer.try_reserve_exact(more).is_err() {
                client.out.error(&Error::Text("ERR request is larger than memory allows"));
                client.close_after_reply = true;
                self.server.stats.overflowed += 1;
                return false;
            }
        }
        client.query_buffer.extend_from_slice(bytes);
        true
    }

    /// Runs the requests that are complete, until the client has to wait; how many bytes they had.
    fn requests(&mut self, client: &mut Client, parser: &mut Parser, bytes: &[u8]) -> usize {
        let mut done = 0;
        while !client.must_wait(BACKLOG) {
            let rest = &bytes[done..];
            match parser.parse(rest, client.authenticated) {
                Parsed::Request(length) => {
                    let args = match parser.words.is_empty() {
                        true => Args::Request(&rest[..length], &parser.spans),
                        false => Args::Owned(&parser.words),
                    };
                    self.execute(client, args);
                    done += length;
                }
                Parsed::Empty(length) => done += length,
                Parsed::Incomplete => break,
                Parsed::ProtocolError(message) => {
                    client.out.error(&Error::Formatted(alloc::format!("ERR {message}")));
                    client.close_after_reply = true;
                    done = bytes.len();
                }
            }
            parser.reset();
        }
        done
    }

    fn execute(&mut self, client: &mut Client, args: Args<'_>) {
        self.server.stats.commands += 1;
        let errors = client.out.errors;
        client.out.limit = self.server.reply_limit(&client.out);
        let skipped = core::mem::take(&mut client.reply_skip);
        let reply_off = client.out.reply_off;
        client.out.reply_off |= skipped;
        // An HTTP request, which a browser or a proxy can be made to send on behalf of a web page.
        if [&b"post"[..], b"host:"].iter().any(|word| args.at(0).eq_ignore_ascii_case(word)) {
            client.out.clear();
            client.close_after_reply = true;
            return;
        }
        let command = commands::find(args.at(0));
        let checked = self.check(client, command, args);
        if let (Err(_), Some(command)) = (&checked, command) {
            self.server.calls.of(command).rejected += 1;
        }
        match checked {
            Err(error) if command.is_some_and(|c| c.name == "exec") => {
                client.multi = None;
                commands::transactions::unwatch(&mut self.store, client);
                client.out.error(&error.aborting_transaction());
            }
            Err(error) => {
                if let Some(queue) = &mut client.multi {
                    queue.dirty_exec = true;
                }
                client.out.error(&error);
            }
            Ok(None) => client.out.raw(b"+QUEUED\r\n"),
            Ok(Some(command)) => {
                let started = (self.server.clock_ns)();
                self.call(client, command, args);
                let taken = (self.server.clock_ns)().saturating_sub(started);
                let failed = client.out.errors != errors;
                let calls = self.server.calls.of(command);
                calls.calls += 1;
                calls.ns += taken;
                calls.failed += u64::from(failed);
            }
        }
        // CLIENT REPLY decides for itself.
        if skipped && command.is_none_or(|c| c.name != "client") {
            client.out.reply_off = reply_off;
        }
        self.server.stats.errors += client.out.errors - errors;
        if client.out.errors != errors {
            self.server.calls.add_errors(client.out.error_codes.drain(..));
        }
        if client.out.overflowed {
            client.close_after_reply = true;
            self.server.stats.overflowed += 1;
        }
        self.mark_dirty_clients(client);
    }

    /// Whether a command may run now (`Some`), or is queued (`None`).
    fn check(
        &mut self,
        client: &mut Client,
        command: Option<&'static Command>,
        args: Args<'_>,
    ) -> Result<Option<&'static Command>, Error> {
        let Some(command) = command else { return Err(commands::unknown(args)) };
        if !command.takes(args.len()) {
            return Err(Error::Arity(command.name));
        }
        commands::subcommands::check(command, args)?;
        if !client.authenticated && !command.has(flags::NO_AUTH) {
            return Err(Error::Text("NOAUTH Authentication required."));
        }
        if !client.out.resp3 && client.subscriptions() > 0 && !command.has(flags::SUBSCRIBED) {
            return Err(Error::Formatted(alloc::format!(
                "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed \
                 in this context",
                command.name
            )));
        }
        // Lists of the arguments, which many commands make.
        if !self.server.credit.take_transient(64 * args.len()) {
            return Err(Error::Memory);
        }
        if command.has(flags::GROWS) {
            self.evict_until_fits(args.memory_estimate() + COMMAND_BYTES)?;
        } else {
            // Also who deletes makes the table work; and a lower maxmemory takes effect with any command.
            let _ = self.evict_until_fits(0);
        }
        if client.multi.is_some() && !command.has(flags::NOT_QUEUED) {
            if command.has(flags::NO_MULTI) {
                return Err(Error::Text("ERR Command not allowed inside a transaction"));
            }
            // Twice: the list of commands may have to grow.
            let queued = client.multi.as_ref().map_or(0, |multi| multi.commands.len());
            if !self.server.has_room(args.copied_bytes() + 64 * (queued + 8)) {
                return Err(Error::Memory);
            }
            if let Some(MultiState { commands, .. }) = &mut client.multi {
                commands.push(args.to_vecs());
            }
            return Ok(None);
        }
        Ok(Some(command))
    }

    /// Evicts until there is room for so many bytes.
    fn evict_until_fits(&mut self, bytes: usize) -> Result<(), Error> {
        self.server.peak = self.server.peak.max((self.server.heap_used)());
        make_room(&mut self.store, &mut self.server, bytes)
    }

    /// Whether a new connection with buffers of so many bytes can be served.
    pub fn can_accept(&self, bytes: usize) -> bool {
        can_allocate_buffer(bytes)
    }

    /// Runs a command.
    fn call(&mut self, client: &mut Client, command: &'static Command, args: Args<'_>) {
        let mut out = core::mem::take(&mut client.out);
        let mark = out.mark();
        self.store.no_touch = client.no_touch;
        let mut call = Call {
            store: &mut self.store,
            server: &mut self.server,
            db: client.db,
            client,
            args,
            out: &mut out,
            blocked: None,
            nested: false,
        };
        let result = (command.run)(&mut call);
        let wait = call.blocked.take();
        if let Err(error) = result {
            out.rewind(mark);
            out.error(&error);
        }
        client.last_command = command.name;
        client.out = out;
        if let Some(wait) = wait {
            self.block_client(client, wait);
        }
    }

    /// Tells watchers that their keys have changed.
    pub(crate) fn mark_dirty_clients(&mut self, client: &mut Client) {
        for id in core::mem::take(&mut self.store.dirty_clients) {
            if id == client.id {
                client.dirty_cas = true;
            } else if let Some(other) = self.server.other(id) {
                other.dirty_cas = true;
            }
        }
    }

    /// A client that has to be looked after although it sent nothing: it is to be sent something, or to be closed.
    pub fn next_pending_write(&mut self) -> Option<u64> {
        self.server.pending_writes.pop_first()
    }

    /// What a client is to be sent.
    pub fn output(&self, id: u64) -> &[u8] {
        self.server.clients.get(&id).and_then(Option::as_ref).map_or(&[], |client| client.out.pending())
    }

    /// So many bytes of it were sent.
    pub fn sent(&mut self, id: u64, count: usize) {
        self.server.stats.bytes_out += count as u64;
        if let Some(Some(client)) = self.server.clients.get_mut(&id) {
            client.out.sent(count, &mut self.spare);
        }
    }

    /// Whether a client has requests here that it did not have to wait with.
    pub fn has_requests(&self, id: u64) -> bool {
        let client = self.server.clients.get(&id).and_then(Option::as_ref);
        client.is_some_and(|c| c.unprocessed && !c.must_wait(BACKLOG))
    }

    /// Whether a client's connection is to be closed once everything was sent.
    pub fn is_closing(&self, id: u64) -> bool {
        self.server.clients.get(&id).and_then(Option::as_ref).is_none_or(|client| client.close_after_reply)
    }

    /// Whether the connection is to be broken off: what is left to be sent makes no sense.
    pub fn is_broken(&self, id: u64) -> bool {
        self.server.clients.get(&id).and_then(Option::as_ref).is_some_and(|client| client.out.overflowed)
    }

    /// Whether SHUTDOWN was asked for.
    pub fn is_shut_down(&self) -> bool {
        self.server.shutdown
    }

    /// Keys in all databases.
    pub fn keys(&self) -> usize {
        self.store.databases.iter().map(|d| d.table.len()).sum()
    }

    /// Commands run since the start.
    pub fn commands(&self) -> u64 {
        self.server.stats.commands
    }

    /// Clients connected.
    pub fn clients(&self) -> usize {
        self.server.clients.len()
    }
}
