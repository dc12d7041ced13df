//! Channels and patterns.

use super::Call;
use crate::client::Client;
use crate::engine::COMMAND_BYTES;
use crate::error::CommandResult;
use crate::glob;
use crate::resp::reply::Reply;
use crate::server::Server;
use alloc::vec;

fn notice(out: &mut Reply, kind: &str, name: Option<&[u8]>, count: usize) {
    out.push(3, |out| {
        out.bulk(kind.as_bytes());
        out.bulk_or_null(name);
        out.integer(count as i64);
    });
}

fn enter(call: &mut Call<'_>, pattern: bool) -> CommandResult {
    call.ensure_memory(2 * call.args.memory_estimate() + COMMAND_BYTES)?;
    for name in call.args.from(1) {
        let mine = if pattern { &mut call.client.patterns } else { &mut call.client.channels };
        if mine.insert(name.to_vec()) {
            call.server.subscribe(call.client.id, name, pattern);
        }
        let kind = if pattern { "psubscribe" } else { "subscribe" };
        notice(call.out, kind, Some(name), call.client.subscriptions());
    }
    Ok(())
}

fn exit(call: &mut Call<'_>, pattern: bool) -> CommandResult {
    let kind = if pattern { "punsubscribe" } else { "unsubscribe" };
    if call.args.len() > 1 {
        for name in call.args.from(1) {
            let mine = if pattern { &mut call.client.patterns } else { &mut call.client.channels };
            if mine.remove(name) {
                call.server.unsubscribe(call.client.id, name, pattern);
            }
            notice(call.out, kind, Some(name), call.client.subscriptions());
        }
        return Ok(());
    }
    let mine = if pattern { &mut call.client.patterns } else { &mut call.client.channels };
    let names = core::mem::take(mine);
    if names.is_empty() {
        notice(call.out, kind, None, call.client.subscriptions());
    }
    for (gone, name) in names.iter().enumerate() {
        call.server.unsubscribe(call.client.id, name, pattern);
        notice(call.out, kind, Some(name), call.client.subscriptions() + names.len() - 1 - gone);
    }
    Ok(())
}

pub(crate) fn subscribe(call: &mut Call<'_>) -> CommandResult {
    enter(call, false)
}

pub(crate) fn psubscribe(call: &mut Call<'_>) -> CommandResult {
    enter(call, true)
}

pub(crate) fn unsubscribe(call: &mut Call<'_>) -> CommandResult {
    exit(call, false)
}

pub(crate) fn punsubscribe(call: &mut Call<'_>) -> CommandResult {
    exit(call, true)
}

/// A client listens to nothing any more.
pub(crate) fn leave(server: &mut Server, client: &mut Client) {
    for name in core::mem::take(&mut client.channels) {
        server.unsubscribe(client.id, &name, false);
    }
    for name in core::mem::take(&mut client.patterns) {
        server.unsubscribe(client.id, &name, true);
    }
}

pub(crate) fn publish(call: &mut Call<'_>) -> CommandResult {
    let (channel, message) = (call.arg(1), call.arg(2));
    // Taken out meanwhile: telling changes neither, and copies would be as large as clients please.
    let (channels, patterns) =
        (core::mem::take(&mut call.server.channels), core::mem::take(&mut call.server.patterns));
    let mut told = 0;
    let mut push_to = |id: u64, pattern: Option<&[u8]>| {
        let write = |out: &mut Reply| {
            out.push(3 + usize::from(pattern.is_some()), |out| {
                match pattern {
                    None => out.bulk(b"message"),
                    Some(pattern) => {
                        out.bulk(b"pmessage");
                        out.bulk(pattern);
                    }
                }
                out.bulk(channel);
                out.bulk(message);
            });
        };
        told += 1;
        if id == call.client.id { write(call.out) } else { call.server.push_to(id, write) }
    };
    channels.get(channel).into_iter().flatten().for_each(|&id| push_to(id, None));
    for (pattern, clients) in &patterns {
        if glob::matches(pattern, channel, false) {
            clients.iter().for_each(|&id| push_to(id, Some(pattern)));
        }
    }
    (call.server.channels, call.server.patterns) = (channels, patterns);
    call.out.integer(told);
    Ok(())
}

pub(crate) fn pubsub(call: &mut Call<'_>) -> CommandResult {
    if call.is(1, "CHANNELS") && call.argc() <= 3 {
        let pattern = call.args.get(2).unwrap_or(b"*");
        let (mark, mut found) = (call.out.mark(), 0);
        for name in call.server.channels.keys().filter(|name| glob::matches(pattern, name, false)) {
            call.out.bulk(name);
            found += 1;
        }
        call.out.array_at(mark, found);
    } else if call.is(1, "NUMSUB") {
        call.out.array(2 * (call.args.len() - 2));
        for name in call.args.from(2) {
            call.out.bulk(name);
            call.out.integer(call.server.channels.get(name).map_or(0, |c| c.len() as i64));
        }
    } else if call.is(1, "NUMPAT") && call.argc() == 2 {
        call.out.integer(call.server.patterns.len() as i64);
    } else if call.is(1, "HELP") {
        let lines = vec!["PUBSUB CHANNELS [<pattern>]", "PUBSUB NUMSUB [<channel> ...]", "PUBSUB NUMPAT"];
        call.out.array(lines.len());
        lines.into_iter().for_each(|line| call.out.simple(line));
    } else {
        return Err(super::subcommands::unknown("pubsub", call.arg(1)));
    }
    Ok(())
}
