//! The connection itself.

use super::{Call, keys, pubsub, transactions};
use crate::client::Client;

use crate::blocked::unblock_client;
use crate::error::{CommandResult, Error};
use crate::number::parse_i64;
use crate::resp::reply::Reply;
use crate::server::VERSION;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

pub(crate) fn ping(call: &mut Call<'_>) -> CommandResult {
    if call.argc() > 2 {
        return Err(Error::Arity("ping"));
    }
    if !call.out.resp3 && call.client.subscriptions() > 0 {
        call.out.array(2);
        call.out.bulk(b"pong");
        call.out.bulk(call.args.get(1).unwrap_or_default());
        return Ok(());
    }
    match call.args.get(1) {
        Some(text) => call.out.bulk(text),
        None => call.out.raw(b"+PONG\r\n"),
    }
    Ok(())
}

pub(crate) fn echo(call: &mut Call<'_>) -> CommandResult {
    call.out.bulk(call.args.at(1));
    Ok(())
}

pub(crate) fn quit(call: &mut Call<'_>) -> CommandResult {
    call.out.ok();
    call.client.close_after_reply = true;
    Ok(())
}

pub(crate) fn select(call: &mut Call<'_>) -> CommandResult {
    call.client.db = keys::database(call.arg(1)).map_err(|e| match e {
        Error::NotInteger => Error::Text("ERR value is not an integer or out of range"),
        other => other,
    })?;
    call.out.ok();
    Ok(())
}

pub(crate) fn reset(call: &mut Call<'_>) -> CommandResult {
    let client = &mut *call.client;
    client.multi = None;
    transactions::unwatch(call.store, client);
    pubsub::leave(call.server, client);
    client.db = 0;
    client.name = String::new();
    client.no_touch = false;
    client.authenticated = call.server.settings.password.is_empty();
    (call.out.resp3, call.out.reply_off) = (false, false);
    call.out.simple("RESET");
    Ok(())
}

fn authenticate(call: &mut Call<'_>, user: &[u8], password: &[u8]) -> CommandResult {
    let expected = &call.server.settings.password;
    // Takes as long for a wrong password as for the right one.
    let same = expected.len() == password.len()
        && expected.iter().zip(password).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0;
    if user != b"default" || !(same || expected.is_empty()) {
        return Err(Error::Text("WRONGPASS invalid username-password pair or user is disabled."));
    }
    call.client.authenticated = true;
    Ok(())
}

pub(crate) fn auth(call: &mut Call<'_>) -> CommandResult {
    match call.argc() {
        2 if call.server.settings.password.is_empty() => {
            return Err(Error::Text(
                "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
                 configuration is correct?",
            ));
        }
        2 => authenticate(call, b"default", call.args.at(1))?,
        3 => authenticate(call, call.args.at(1), call.args.at(2))?,
        _ => return Err(Error::Syntax),
    }
    call.out.ok();
    Ok(())
}

/// Whether a client may be named so.
fn check_name(call: &mut Call<'_>, at: usize) -> Result<String, Error> {
    let name = call.arg(at);
    call.ensure_memory(2 * name.len())?;
    let wrong = Error::Text("ERR Client names cannot contain spaces, newlines or special characters.");
    match name.iter().all(|b| (b'!'..=b'~').contains(b)) {
        true => Ok(String::from_utf8_lossy(name).into_owned()),
        false => Err(wrong),
    }
}

pub(crate) fn hello(call: &mut Call<'_>) -> CommandResult {
    let mut resp3 = call.out.resp3;
    if let Some(version) = call.args.get(1) {
        resp3 = match parse_i64(version) {
            Some(2) => false,
            Some(3) => true,
            Some(_) => return Err(Error::Text("NOPROTO unsupported protocol version")),
            None => return Err(Error::Text("ERR Protocol version is not an integer or out of range")),
        };
    }
    let mut name = None;
    let mut at = 2;
    while at < call.argc() {
        if call.is(at, "AUTH") && at + 2 < call.argc() {
            authenticate(call, call.args.at(at + 1), call.args.at(at + 2))?;
            at += 3;
        } else if call.is(at, "SETNAME") && at + 1 < call.argc() {
            name = Some(check_name(call, at + 1)?);
            at += 2;
        } else {
            let option = super::shown(call.arg(at));
            return Err(Error::Formatted(format!("ERR Syntax error in HELLO option '{option}'")));
        }
    }
    if !call.client.authenticated {
        return Err(Error::Text(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH \
             <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the \
             same time",
        ));
    }
    if let Some(name) = name {
        call.client.name = name;
    }
    call.out.resp3 = resp3;
    call.out.map(7);
    for (word, text) in [("server", "redis"), ("version", VERSION)] {
        call.out.bulk(word.as_bytes());
        call.out.bulk(text.as_bytes());
    }
    call.out.bulk(b"proto");
    call.out.integer(if resp3 { 3 } else { 2 });
    call.out.bulk(b"id");
    call.out.integer(call.client.id as i64);
    for (word, text) in [("mode", "standalone"), ("role", "master")] {
        call.out.bulk(word.as_bytes());
        call.out.bulk(text.as_bytes());
    }
    call.out.bulk(b"modules");
    call.out.array(0);
    Ok(())
}

/// A client as CLIENT LIST shows it.
fn describe(client: &Client, out: &Reply, now: u64) -> String {
    let flags = match () {
        () if client.blocked.is_some() => "b",
        () if client.multi.is_some() => "x",
        () if client.subscriptions() > 0 => "P",
        () => "N",
    };
    format!(
        "id={} addr={} laddr={} fd=-1 name={} age={} idle={} flags={flags} db={} sub={} psub={} ssub=0 multi={} \
         watch={} qbuf={} omem={} cmd={} user=default lib-name={} lib-ver={} resp={}",
        client.id,
        client.peer,
        client.local,
        client.name,
        now.saturating_sub(client.created) / 1000,
        now.saturating_sub(client.active) / 1000,
        client.db,
        client.channels.len(),
        client.patterns.len(),
        client.multi.as_ref().map_or(-1, |q| q.commands.len() as i64),
        client.watched_keys.len(),
        client.query_buffer.len(),
        out.capacity(),
        if client.last_command.is_empty() { "NULL" } else { client.last_command },
        client.library,
        client.library_version,
        if out.resp3 { 3 } else { 2 },
    )
}

pub(crate) fn client(call: &mut Call<'_>) -> CommandResult {
    let now = call.store.now;
    let n = call.argc();
    match () {
        () if call.is(1, "ID") && n == 2 => call.out.integer(call.client.id as i64),
        () if call.is(1, "GETNAME") && n == 2 => match call.client.name.is_empty() {
            true => call.out.null(),
            false => call.out.bulk(call.client.name.as_bytes()),
        },
        () if call.is(1, "SETNAME") && n == 3 => {
            call.client.name = check_name(call, 2)?;
            call.out.ok();
        }
        () if call.is(1, "SETINFO") && n == 4 => {
            let text = check_name(call, 3)?;
            match () {
                () if call.is(2, "LIB-NAME") => call.client.library = text,
                () if call.is(2, "LIB-VER") => call.client.library_version = text,
                () => return Err(Error::Text("ERR Unrecognized option")),
            }
            call.out.ok();
        }
        () if call.is(1, "INFO") && n == 2 => {
            let mut line = describe(call.client, call.out, now);
            line.push('\n');
            call.out.verbatim(&line);
        }
        () if call.is(1, "LIST") => list(call)?,
        () if call.is(1, "KILL") && n >= 3 => kill(call)?,
        () if call.is(1, "REPLY") && n == 3 => match () {
            () if call.is(2, "ON") => {
                call.out.reply_off = false;
                call.out.ok();
            }
            () if call.is(2, "OFF") => call.out.reply_off = true,
            () if call.is(2, "SKIP") => call.client.reply_skip = !call.out.reply_off,
            () => return Err(Error::Syntax),
        },
        () if call.is(1, "UNBLOCK") && (n == 3 || n == 4) => unblock(call)?,
        () if call.is(1, "NO-TOUCH") && n == 3 => {
            call.client.no_touch = on_or_off(call, 2)?;
            call.out.ok();
        }
        () if call.is(1, "HELP") => {
            let words = ["GETNAME", "HELP", "ID", "INFO", "KILL", "LIST", "NO-TOUCH", "REPLY", "SETINFO"];
            let words: Vec<&str> = words.into_iter().chain(["SETNAME", "UNBLOCK"]).collect();
            call.out.array(words.len());
            words.into_iter().for_each(|word| call.out.simple(&format!("CLIENT {word}")));
        }
        () => return Err(super::subcommands::unknown("client", call.arg(1))),
    }
    Ok(())
}

fn on_or_off(call: &Call<'_>, at: usize) -> Result<bool, Error> {
    match () {
        () if call.is(at, "ON") => Ok(true),
        () if call.is(at, "OFF") => Ok(false),
        () => Err(Error::Syntax),
    }
}

fn list(call: &mut Call<'_>) -> CommandResult {
    let now = call.store.now;
    let mut ids: Option<Vec<i64>> = None;
    if call.argc() > 2 {
        if call.is(2, "ID") && call.argc() > 3 {
            let wrong = Error::Text("ERR Invalid client ID");
            ids =
                Some(call.args.from(3).map(|t| parse_i64(t).ok_or(wrong.clone())).collect::<Result<_, _>>()?);
        } else if !(call.is(2, "TYPE") && call.argc() == 4 && call.is(3, "NORMAL")) {
            return Err(Error::Syntax);
        }
    }
    let mut text = String::new();
    let most = call.server.free() / 8;
    for (id, client) in &call.server.clients {
        if ids.as_ref().is_some_and(|ids| !ids.contains(&(*id as i64))) {
            continue;
        }
        match client {
            Some(client) => text.push_str(&describe(client, &client.out, now)),
            None => text.push_str(&describe(call.client, call.out, now)),
        }
        text.push('\n');
        if text.len() > most {
            return Err(Error::Text("ERR the reply would be larger than memory allows"));
        }
    }
    call.out.verbatim(&text);
    Ok(())
}

/// By address, or by filters.
fn kill(call: &mut Call<'_>) -> CommandResult {
    let old_style = call.argc() == 3;
    let (mut id, mut peer, mut local, mut skip_me) = (None, None, None, !old_style);
    if old_style {
        peer = Some(call.arg(2));
    } else {
        for at in (2..call.argc()).step_by(2) {
            let Some(value) = call.args.get(at + 1) else { return Err(Error::Syntax) };
            match () {
                () if call.is(at, "ID") => {
                    let given = parse_i64(value).filter(|&n| n > 0);
                    id = Some(given.ok_or(Error::Text("ERR client-id should be greater than 0"))? as u64);
                }
                () if call.is(at, "ADDR") => peer = Some(value),
                () if call.is(at, "LADDR") => local = Some(value),
                () if call.is(at, "USER") => {}
                () if call.is(at, "TYPE") => {}
                () if call.is(at, "SKIPME") && call.is(at + 1, "YES") => skip_me = true,
                () if call.is(at, "SKIPME") && call.is(at + 1, "NO") => skip_me = false,
                () => return Err(Error::Syntax),
            }
        }
    }
    let mut killed = 0;
    let ids: Vec<u64> = call.server.clients.keys().copied().collect();
    for other in ids {
        let me = other == call.client.id;
        let client = if me { Some(&mut *call.client) } else { call.server.other(other) };
        let Some(client) = client else { continue };
        let fits = id.is_none_or(|id| id == other)
            && peer.is_none_or(|peer| client.peer.as_bytes() == peer)
            && local.is_none_or(|local| client.local.as_bytes() == local);
        if !fits || (me && skip_me) {
            continue;
        }
        killed += 1;
        if me {
            call.client.close_after_reply = true;
            continue;
        }
        call.server.close(other);
        // What it is blocked on goes to the next client at once, however long the connection takes to end.
        if let Some(mut victim) = call.server.clients.get_mut(&other).and_then(Option::take) {
            unblock_client(call.store, call.server, &mut victim);
            call.server.clients.insert(other, Some(victim));
        }
    }
    match old_style {
        true if killed == 0 => Err(Error::Text("ERR No such client")),
        true => {
            call.out.ok();
            Ok(())
        }
        false => {
            call.out.integer(killed);
            Ok(())
        }
    }
}

fn unblock(call: &mut Call<'_>) -> CommandResult {
    let with_error = call.is(3, "ERROR");
    if call.argc() == 4 && !with_error && !call.is(3, "TIMEOUT") {
        return Err(Error::Text("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"));
    }
    let id = u64::try_from(call.int(2)?).unwrap_or(0);
    let other = call.server.clients.get_mut(&id).and_then(Option::take);
    let Some(mut other) = other else {
        call.out.integer(0);
        return Ok(());
    };
    let waits = other.blocked.is_some();
    if let Some(wait) = &other.blocked {
        other.out.limit = usize::MAX;
        if with_error {
            other.out.error(&Error::Text("UNBLOCKED client unblocked via CLIENT UNBLOCK"));
        } else if wait.null_is_bulk {
            other.out.null();
        } else {
            other.out.null_array();
        }
        unblock_client(call.store, call.server, &mut other);
        call.server.pending_writes.insert(id);
    }
    if let Some(place) = call.server.clients.get_mut(&id) {
        *place = Some(other);
    }
    call.out.integer(waits.into());
    Ok(())
}
