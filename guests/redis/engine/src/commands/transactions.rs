//! MULTI, EXEC, WATCH.

use super::Call;
use crate::client::{Args, Client, MultiState};
use crate::engine::COMMAND_BYTES;
use crate::error::{CommandResult, Error};
use crate::store::keyspace::Keyspace;

pub(crate) fn multi(call: &mut Call<'_>) -> CommandResult {
    if call.client.multi.is_some() {
        return Err(Error::Text("ERR MULTI calls can not be nested"));
    }
    call.client.multi = Some(MultiState::default());
    call.out.ok();
    Ok(())
}

/// A client watches nothing any more.
pub(crate) fn unwatch(store: &mut Keyspace, client: &mut Client) {
    for (db, key) in client.watched_keys.drain(..) {
        let watched = &mut store.databases[db].watched;
        if let Some(clients) = watched.get_mut(&key) {
            clients.retain(|&id| id != client.id);
            if clients.is_empty() {
                watched.remove(&key);
            }
        }
    }
    client.dirty_cas = false;
}

/// Whether a watched key has gone by itself since.
fn has_expired(call: &mut Call<'_>) -> bool {
    let now = call.store.now;
    let mut watching = call.client.watched_keys.iter();
    watching
        .any(|(db, key)| call.store.databases[*db].table.get(key).is_some_and(|entry| entry.expiry() <= now))
}

pub(crate) fn exec(call: &mut Call<'_>) -> CommandResult {
    let Some(queue) = call.client.multi.take() else { return Err(Error::Text("ERR EXEC without MULTI")) };
    let spoiled = call.client.dirty_cas || has_expired(call);
    unwatch(call.store, call.client);
    if queue.dirty_exec {
        return Err(Error::Text("EXECABORT Transaction discarded because of previous errors."));
    }
    if spoiled {
        call.out.null_array();
        return Ok(());
    }
    call.out.array(queue.commands.len());
    for words in &queue.commands {
        let Some(command) = super::find(&words[0]) else { continue };
        let mark = call.out.mark();
        let mut nested = Call {
            store: call.store,
            server: call.server,
            db: call.client.db,
            client: call.client,
            args: Args::Owned(words),
            out: call.out,
            blocked: None,
            nested: true,
        };
        let result = match command.has(super::flags::GROWS) {
            true => nested.ensure_memory(nested.args.memory_estimate() + COMMAND_BYTES),
            false => nested.ensure_transient(64 * nested.args.len()),
        };
        let started = (nested.server.clock_ns)();
        let result = result.and_then(|()| (command.run)(&mut nested));
        let taken = (call.server.clock_ns)().saturating_sub(started);
        let calls = call.server.calls.of(command);
        calls.calls += 1;
        calls.ns += taken;
        calls.failed += u64::from(result.is_err());
        if let Err(error) = result {
            call.out.rewind(mark);
            call.out.error(&error);
        }
    }
    Ok(())
}

pub(crate) fn discard(call: &mut Call<'_>) -> CommandResult {
    if call.client.multi.take().is_none() {
        return Err(Error::Text("ERR DISCARD without MULTI"));
    }
    unwatch(call.store, call.client);
    call.out.ok();
    Ok(())
}

pub(crate) fn watch(call: &mut Call<'_>) -> CommandResult {
    if call.client.multi.is_some() {
        return Err(Error::Text("ERR WATCH inside MULTI is not allowed"));
    }
    let watched = call.client.watched_keys.len() + call.args.len();
    call.ensure_memory(2 * call.args.memory_estimate() + 96 * watched)?;
    let db = call.db;
    for key in call.args.from(1) {
        // What has expired by now is not there, and may stay so.
        call.store.find(db, key);
        if call.client.watched_keys.iter().any(|(d, k)| *d == db && k == key) {
            continue;
        }
        call.client.watched_keys.push((db, key.to_vec()));
        call.store.databases[db].watched.entry(key.to_vec()).or_default().push(call.client.id);
    }
    call.out.ok();
    Ok(())
}

pub(crate) fn unwatch_all(call: &mut Call<'_>) -> CommandResult {
    unwatch(call.store, call.client);
    call.out.ok();
    Ok(())
}
