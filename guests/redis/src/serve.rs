//! Moves bytes between TCP connections and the engine.

use crate::memory::ConnectionMemory;
use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;
use minios::clock::Instant;
use minios::net::listener::{Event, Listener};
use minios::net::tcp::connection::State;
use redis_engine::Engine;

/// What Redis sends to a client beyond `maxclients`.
const MAX_CLIENTS_REACHED: &[u8] = b"-ERR max number of clients reached\r\n";
/// How often bytes are moved for a client before the next client is served.
const MOVES_PER_ROUND: usize = 8;

/// Bytes that a peer may still send after the server has closed the connection, so that it can read the error reply.
/// Beyond that the connection is reset.
const LINGER: usize = 1 << 20;

/// A connection that the engine knows.
#[derive(Clone, Copy)]
struct Connection {
    /// The engine's number of this client.
    client: u64,
    /// Bytes of its buffers.
    capacity: usize,
    /// Bytes that it may still send after the close.
    linger: usize,
}

/// The open connections.
#[derive(Default)]
pub struct Connections {
    /// By the listener's number of the connection.
    by_number: Vec<Option<Connection>>,
    /// The listener's number by the engine's client number.
    by_client: BTreeMap<u64, usize>,
    /// Events of this round; kept for its memory.
    events: Vec<(usize, Event)>,
    /// Numbers of connections that have more to do in the next round.
    unfinished: Vec<usize>,
}

impl Connections {
    /// Polls the listener and serves every connection with events. Returns whether there was anything to do.
    pub fn round(
        &mut self,
        listener: &mut Listener,
        engine: &mut Engine,
        buffers: &mut ConnectionMemory,
        now: Instant,
    ) -> bool {
        let most = engine.max_clients();
        let mut events = core::mem::take(&mut self.events);
        let mut worked = listener.poll(
            now,
            |open| buffers.admit(open, most, |bytes| engine.can_accept(bytes)),
            |number, event| events.push((number, event)),
        );
        worked |= !events.is_empty();
        for &(number, event) in &events {
            match event {
                Event::Opened(from, to) => {
                    self.open(listener, engine, buffers, number, (from.to_string(), to.to_string()));
                }
                Event::Closed => self.close(engine, buffers, number),
                Event::Touched => {}
            }
            if event != Event::Closed {
                self.serve(listener, engine, number, now);
            }
        }
        events.clear();
        self.events = events;
        for number in core::mem::take(&mut self.unfinished) {
            worked = true;
            self.serve(listener, engine, number, now);
        }
        while let Some(client) = engine.next_pending_write() {
            worked = true;
            if let Some(&number) = self.by_client.get(&client) {
                self.serve(listener, engine, number, now);
            }
        }
        worked
    }

    fn open(
        &mut self,
        listener: &mut Listener,
        engine: &mut Engine,
        buffers: &mut ConnectionMemory,
        number: usize,
        (from, to): (alloc::string::String, alloc::string::String),
    ) {
        let Some(socket) = listener.connection(number) else { return };
        if engine.clients() >= engine.max_clients() {
            engine.reject();
            socket.write(MAX_CLIENTS_REACHED);
            return socket.close();
        }
        let capacity = socket.capacity();
        buffers.reserve(capacity);
        let client = engine.connect(from, to);
        if number >= self.by_number.len() {
            self.by_number.resize(number + 1, None);
        }
        self.by_number[number] = Some(Connection { client, capacity, linger: LINGER });
        self.by_client.insert(client, number);
    }

    fn close(&mut self, engine: &mut Engine, buffers: &mut ConnectionMemory, number: usize) {
        if let Some(connection) = self.by_number.get_mut(number).and_then(Option::take) {
            engine.disconnect(connection.client);
            self.by_client.remove(&connection.client);
            buffers.release(connection.capacity);
        }
    }

    /// Feeds received bytes to the engine and sends its replies.
    fn serve(&mut self, listener: &mut Listener, engine: &mut Engine, number: usize, now: Instant) {
        let Some(Some(connection)) = self.by_number.get_mut(number) else {
            return listener.send(number, now);
        };
        let Some(socket) = listener.connection(number) else { return };
        let client = connection.client;
        if engine.is_closing(client) {
            connection.linger = connection.linger.saturating_sub(socket.readable());
            if connection.linger == 0 {
                socket.abort();
            }
        }
        for turn in 0.. {
            let mut moved = 0;
            if engine.has_requests(client) {
                engine.feed(client, &[]);
                moved += 1;
            }
            // The buffer is a ring: what is left behind its end comes with the next turn.
            while let Some(count @ 1..) = socket.consume(now, |bytes| {
                let count = engine.feed(client, bytes);
                (count, count)
            }) {
                moved += count;
            }
            while let pending @ [_, ..] = engine.output(client) {
                let count @ 1.. = socket.write(pending) else { break };
                engine.sent(client, count);
                moved += count;
            }
            if engine.is_broken(client) {
                socket.abort();
                break;
            }
            if moved == 0 {
                break;
            }
            if turn == MOVES_PER_ROUND {
                self.unfinished.push(number);
                break;
            }
        }
        let done = engine.output(client).is_empty();
        let peer_closed = socket.state() == State::CloseWait && socket.readable() == 0;
        if done && (engine.is_closing(client) || (peer_closed && !engine.has_requests(client))) {
            socket.close();
        }
        listener.send(number, now);
    }
}
