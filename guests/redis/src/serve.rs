//! Between connections and the engine: bytes in, bytes out.

use crate::memory::Buffers;
use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;
use minios::clock::Instant;
use minios::net::listener::{Event, Listener};
use redis_engine::Engine;
use smoltcp::socket::tcp::State;

/// The message that Redis has for one client too many.
const TOO_MANY: &[u8] = b"-ERR max number of clients reached\r\n";
/// Turns that a client has before the next one's.
const TURNS: usize = 8;

/// Bytes that a peer may send after its connection was closed, so that it gets to read why. Then it is reset.
const LINGER: usize = 1 << 20;

/// A connection that the engine knows.
#[derive(Clone, Copy)]
struct Peer {
    client: u64,
    /// Bytes of its buffers.
    capacity: usize,
    /// What it may send in vain.
    linger: usize,
}

/// Which connection is whose.
#[derive(Default)]
pub struct Served {
    peers: Vec<Option<Peer>>,
    connections: BTreeMap<u64, usize>,
    events: Vec<(usize, Event)>,
    /// Connections that had their turns and have more to do.
    again: Vec<usize>,
}

impl Served {
    /// One round; whether there was anything to do.
    pub fn round(
        &mut self,
        listener: &mut Listener,
        engine: &mut Engine,
        buffers: &mut Buffers,
        now: Instant,
    ) -> bool {
        let most = engine.max_clients();
        let mut events = core::mem::take(&mut self.events);
        let mut worked = listener.poll(
            now,
            |open| buffers.admit(open, most),
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
                self.turn(listener, engine, number, now);
            }
        }
        events.clear();
        self.events = events;
        for number in core::mem::take(&mut self.again) {
            worked = true;
            self.turn(listener, engine, number, now);
        }
        while let Some(client) = engine.next_outbound() {
            worked = true;
            if let Some(&number) = self.connections.get(&client) {
                self.turn(listener, engine, number, now);
            }
        }
        worked
    }

    fn open(
        &mut self,
        listener: &mut Listener,
        engine: &mut Engine,
        buffers: &mut Buffers,
        number: usize,
        (from, to): (alloc::string::String, alloc::string::String),
    ) {
        let Some(socket) = listener.socket(number) else { return };
        if engine.clients() >= engine.max_clients() {
            engine.reject();
            let _ = socket.send_slice(TOO_MANY);
            return socket.close();
        }
        let capacity = socket.recv_capacity() + socket.send_capacity();
        buffers.take(capacity);
        let client = engine.connect(from, to);
        if number >= self.peers.len() {
            self.peers.resize(number + 1, None);
        }
        self.peers[number] = Some(Peer { client, capacity, linger: LINGER });
        self.connections.insert(client, number);
    }

    fn close(&mut self, engine: &mut Engine, buffers: &mut Buffers, number: usize) {
        if let Some(peer) = self.peers.get_mut(number).and_then(Option::take) {
            engine.disconnect(peer.client);
            self.connections.remove(&peer.client);
            buffers.give(peer.capacity);
        }
    }

    /// Hands over what has come, and what is to go.
    fn turn(&mut self, listener: &mut Listener, engine: &mut Engine, number: usize, now: Instant) {
        let Some(Some(peer)) = self.peers.get_mut(number) else { return listener.send(number, now) };
        let Some(socket) = listener.socket(number) else { return };
        let client = peer.client;
        if engine.is_closing(client) {
            peer.linger = peer.linger.saturating_sub(socket.recv_queue());
            if peer.linger == 0 {
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
            while let Ok(count @ 1..) = socket.recv(|bytes| {
                let count = engine.feed(client, bytes);
                (count, count)
            }) {
                moved += count;
            }
            while let pending @ [_, ..] = engine.output(client) {
                let Ok(count @ 1..) = socket.send_slice(pending) else { break };
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
            if turn == TURNS {
                self.again.push(number);
                break;
            }
        }
        let done = engine.output(client).is_empty();
        let peer_closed = socket.state() == State::CloseWait && socket.recv_queue() == 0;
        if done && (engine.is_closing(client) || (peer_closed && !engine.has_requests(client))) {
            socket.close();
        }
        listener.send(number, now);
    }
}
