//! Blocked clients, and everything that a time ends: their timeouts, expiry of keys, idle connections.

use crate::client::{Args, Blocked, Client};
use crate::commands::{self, Call};
use crate::engine::{COMMAND_BYTES, Engine};
use crate::error::Error;
use crate::server::Server;
use crate::store::keyspace::Keyspace;
use crate::store::stream::Stream;
use alloc::rc::Rc;
use alloc::vec::Vec;

impl Engine {
    /// Puts a client at the end of the queues for its keys.
    pub(crate) fn block_client(&mut self, client: &mut Client, wait: Blocked) {
        for key in &wait.keys {
            self.store.databases[client.db]
                .blocking_keys
                .entry(Rc::from(&**key))
                .or_default()
                .push_back(client.id);
        }
        if wait.deadline != u64::MAX {
            self.server.deadlines.insert((wait.deadline, client.id));
        }
        client.blocked_db = client.db;
        client.blocked = Some(wait);
    }

    /// Retries the commands of clients that are blocked on keys that have changed.
    pub(crate) fn serve_blocked_clients(&mut self) {
        while !self.store.ready_keys.is_empty() {
            for (db, key) in core::mem::take(&mut self.store.ready_keys) {
                let waiting = self.store.databases[db].blocking_keys.get(&key);
                let ids: Vec<u64> = waiting.into_iter().flatten().copied().collect();
                for id in ids {
                    self.retry(id, db, &key);
                }
            }
        }
    }

    fn retry(&mut self, id: u64, db: usize, key: &[u8]) {
        let Some(mut client) = self.server.clients.get_mut(&id).and_then(Option::take) else { return };
        if client.close_after_reply {
            // Its connection is about to end: nothing may be handed to it any more.
            unblock_client(&mut self.store, &mut self.server, &mut client);
        } else if let Some(error) = self.lost_group(&client, db, key) {
            client.out.error(&error);
            unblock_client(&mut self.store, &mut self.server, &mut client);
            self.server.pending_writes.insert(id);
        }
        if let Some(wait) = client.blocked.take_if(|wait| !self.is_for_others(client.blocked_db, wait)) {
            let words = wait.args;
            client.out.limit = self.server.reply_limit(&client.out);
            let mut out = core::mem::take(&mut client.out);
            let mark = out.mark();
            let mut call = Call {
                store: &mut self.store,
                server: &mut self.server,
                db: client.blocked_db,
                client: &mut client,
                args: Args::Owned(&words),
                out: &mut out,
                blocked: None,
                nested: false,
            };
            let result = match commands::find(&words[0]) {
                Some(command) => call
                    .ensure_memory(call.args.memory_estimate() + COMMAND_BYTES)
                    .and_then(|()| (command.run)(&mut call)),
                None => Ok(()),
            };
            let blocked = call.blocked.is_some();
            if let Err(error) = result {
                out.rewind(mark);
                out.error(&error);
            }
            client.out = out;
            client.blocked = Some(Blocked { args: words, ..wait });
            if !blocked {
                unblock_client(&mut self.store, &mut self.server, &mut client);
                client.close_after_reply |= client.out.overflowed;
                self.server.pending_writes.insert(id);
            }
            self.mark_dirty_clients(&mut client);
        }
        if let Some(place) = self.server.clients.get_mut(&id) {
            *place = Some(client);
        }
    }

    /// Why a client blocked in XREADGROUP cannot go on waiting for a key: the stream or the group is gone.
    fn lost_group(&mut self, client: &Client, db: usize, key: &[u8]) -> Option<Error> {
        let wait = client.blocked.as_ref().filter(|_| client.blocked_db == db)?;
        if !wait.args[0].eq_ignore_ascii_case(b"xreadgroup") {
            return None;
        }
        match self.store.get::<Stream>(db, key) {
            Ok(Some(stream)) if stream.groups.contains_key(&wait.args[2]) => None,
            Ok(Some(_)) => {
                Some(Error::Text("NOGROUP the consumer group this client was blocked on no longer exists"))
            }
            _ => Some(Error::Text("UNBLOCKED the stream key no longer exists")),
        }
    }

    /// Whether the keys that a command is blocked on hold values of other types only: then it stays blocked.
    fn is_for_others(&mut self, db: usize, wait: &Blocked) -> bool {
        let wanted = match &*wait.args[0] {
            [b'b' | b'B', b'z' | b'Z', ..] => "zset",
            [b'x' | b'X', ..] => "stream",
            _ => "list",
        };
        let (mut there, mut right) = (false, false);
        for key in &wait.keys {
            if let Some(entry) = self.store.find(db, key) {
                there = true;
                right |= entry.kind() == wanted;
            }
        }
        there && !right
    }

    /// Does what is due, and says at which time (Unix, milliseconds) there will be something again. Nothing expires and
    /// nobody waits: `None`.
    pub fn tick(&mut self) -> Option<u64> {
        let now = self.store.now;
        while let Some(&(deadline, id)) = self.server.deadlines.first()
            && deadline <= now
        {
            self.server.deadlines.remove(&(deadline, id));
            let Some(mut client) = self.server.clients.get_mut(&id).and_then(Option::take) else { continue };
            if let Some(wait) = &client.blocked {
                client.out.limit = self.server.reply_limit(&client.out);
                if wait.null_is_bulk {
                    client.out.null()
                } else {
                    client.out.null_array()
                }
                unblock_client(&mut self.store, &mut self.server, &mut client);
                self.server.pending_writes.insert(id);
            }
            if let Some(place) = self.server.clients.get_mut(&id) {
                *place = Some(client);
            }
        }
        let expiry = match self.store.next_expiry() {
            Some(due) if due <= now => self.store.expire(),
            due => due,
        };
        self.serve_blocked_clients();
        let deadline = self.server.deadlines.first().map(|(deadline, _)| *deadline);
        let idle = self.close_idle();
        [expiry, deadline, idle].into_iter().flatten().min()
    }

    /// Closes clients that have said nothing for `timeout` seconds.
    fn close_idle(&mut self) -> Option<u64> {
        let limit = self.server.settings.timeout * 1000;
        if limit == 0 {
            return None;
        }
        let now = self.store.now;
        let mut next = None;
        let mut late = Vec::new();
        for (id, client) in &self.server.clients {
            let Some(client) = client else { continue };
            if client.blocked.is_some() || client.subscriptions() > 0 || client.close_after_reply {
                continue;
            }
            let end = client.active + limit;
            if end <= now {
                late.push(*id);
            } else {
                next = Some(next.map_or(end, |n: u64| n.min(end)));
            }
        }
        late.into_iter().for_each(|id| self.server.close(id));
        next
    }
}

/// Ends a client's wait.
pub(crate) fn unblock_client(store: &mut Keyspace, server: &mut Server, client: &mut Client) {
    let Some(wait) = client.blocked.take() else { return };
    server.deadlines.remove(&(wait.deadline, client.id));
    let waiting = &mut store.databases[client.blocked_db].blocking_keys;
    for key in &wait.keys {
        if let Some(ids) = waiting.get_mut(&**key) {
            ids.retain(|&id| id != client.id);
            if ids.is_empty() {
                waiting.remove(&**key);
            }
        }
    }
}
