//! What commands there are, and how keys are kept: COMMAND, OBJECT, MEMORY.

use super::table::{COMMANDS, flags};
use super::{Call, Command};
use crate::client::Args;
use crate::error::{CommandResult, Error};
use crate::glob;
use crate::number::parse_i64;
use crate::resp::reply::Reply;
use crate::store::Value;
use crate::store::entry::Entry;
use crate::store::hash::Hash;
use crate::store::policy::{Access, Policy};
use crate::store::set::Set;
use alloc::vec;
use alloc::vec::Vec;

pub(crate) fn command(call: &mut Call<'_>) -> CommandResult {
    let n = call.argc();
    match () {
        () if n == 1 => {
            call.out.array(COMMANDS.len());
            COMMANDS.iter().for_each(|c| show(call.out, c));
        }
        () if call.is(1, "COUNT") && n == 2 => call.out.integer(COMMANDS.len() as i64),
        () if call.is(1, "INFO") => {
            call.out.array(if n == 2 { COMMANDS.len() } else { n - 2 });
            if n == 2 {
                COMMANDS.iter().for_each(|c| show(call.out, c));
            }
            for name in call.args.from(2) {
                match super::find(name) {
                    Some(command) => show(call.out, command),
                    None => call.out.null_array(),
                }
            }
        }
        () if call.is(1, "DOCS") => {
            let known: Vec<&Command> = match n {
                2 => COMMANDS.iter().collect(),
                _ => call.args.from(2).filter_map(super::find).collect(),
            };
            call.out.map(known.len());
            for command in known {
                call.out.bulk(command.name.as_bytes());
                call.out.map(1);
                call.out.bulk(b"arity");
                call.out.integer(command.arity.into());
            }
        }
        () if call.is(1, "LIST")
            && (n == 2 || (n == 5 && call.is(2, "FILTERBY") && call.is(3, "PATTERN"))) =>
        {
            let pattern = call.args.get(4).unwrap_or(b"*");
            let names: Vec<&str> = COMMANDS
                .iter()
                .map(|c| c.name)
                .filter(|name| glob::matches(pattern, name.as_bytes(), true))
                .collect();
            call.out.array(names.len());
            names.into_iter().for_each(|name| call.out.bulk(name.as_bytes()));
        }
        () if call.is(1, "GETKEYS") && n >= 3 => get_keys(call)?,
        () if call.is(1, "HELP") => {
            let lines = ["COMMAND COUNT", "COMMAND DOCS", "COMMAND GETKEYS", "COMMAND INFO", "COMMAND LIST"];
            call.out.array(lines.len());
            lines.into_iter().for_each(|line| call.out.simple(line));
        }
        () => return Err(super::subcommands::unknown("command", call.arg(1))),
    }
    Ok(())
}

fn show(out: &mut Reply, command: &Command) {
    out.array(10);
    out.bulk(command.name.as_bytes());
    out.integer(command.arity.into());
    let names: Vec<&str> =
        flags::NAMES.iter().filter(|(flag, _)| command.has(*flag)).map(|(_, name)| *name).collect();
    out.set(names.len());
    names.into_iter().for_each(|name| out.simple(name));
    let (first, last, step) = command.keys;
    for number in [first, last, step] {
        out.integer(number.into());
    }
    // Categories, tips, key specifications, subcommands.
    for _ in 0..4 {
        out.array(0);
    }
}

/// The keys of a command line.
fn keys<'a>(command: &Command, words: &Args<'a>) -> Vec<&'a [u8]> {
    let n = words.len();
    let counted = |at: usize| -> Vec<&'a [u8]> {
        let count = words.get(at).and_then(parse_i64).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        words.from(at + 1).take(count).collect()
    };
    match command.name {
        "zunionstore" | "zinterstore" | "zdiffstore" => [vec![words.at(1)], counted(2)].concat(),
        "zunion" | "zinter" | "zdiff" | "zintercard" | "sintercard" | "lmpop" | "zmpop" => counted(1),
        "blmpop" | "bzmpop" => counted(2),
        "xread" | "xreadgroup" => {
            let streams = words.from(0).position(|w| w.eq_ignore_ascii_case(b"STREAMS")).unwrap_or(n);
            let rest = n.saturating_sub(streams + 1);
            words.from(streams + 1).take(rest / 2).collect()
        }
        _ => {
            let (first, last, step) = command.keys;
            if first == 0 {
                return Vec::new();
            }
            let last = if last < 0 { (n as i64 + i64::from(last)) as usize } else { last as usize };
            (first as usize..=last.min(n - 1)).step_by(step.max(1) as usize).map(|at| words.at(at)).collect()
        }
    }
}

fn get_keys(call: &mut Call<'_>) -> CommandResult {
    let command = super::find(call.arg(2)).ok_or(Error::Text("ERR Invalid command specified"))?;
    call.ensure_transient(2 * call.args.copied_bytes())?;
    let words: Vec<Vec<u8>> = call.args.from(2).map(<[u8]>::to_vec).collect();
    if !command.takes(words.len()) {
        return Err(Error::Text("ERR Invalid number of arguments specified for command"));
    }
    let found = keys(command, &Args::Owned(&words));
    if found.is_empty() {
        return Err(Error::Text("ERR The command has no key arguments"));
    }
    call.out.array(found.len());
    found.into_iter().for_each(|key| call.out.bulk(key));
    Ok(())
}

/// How Redis would keep a value of this kind and size.
fn encoding(entry: &Entry) -> &'static str {
    match entry.value() {
        None | Some(Value::String(_)) => {
            let text = entry.text().unwrap_or_default();
            match text.len() {
                _ if parse_i64(text).is_some() => "int",
                0..=44 => "embstr",
                _ => "raw",
            }
        }
        Some(Value::List(list)) => {
            if list.is_small() {
                "listpack"
            } else {
                "quicklist"
            }
        }
        Some(Value::Hash(Hash::Packed(_))) => "listpack",
        Some(Value::Hash(_)) => "hashtable",
        Some(Value::Set(set @ Set::Packed(_))) => {
            if set.is_of_integers() {
                "intset"
            } else {
                "listpack"
            }
        }
        Some(Value::Set(_)) => "hashtable",
        Some(Value::Zset(zset)) => {
            if zset.is_small() {
                "listpack"
            } else {
                "skiplist"
            }
        }
        Some(Value::Stream(_)) => "stream",
    }
}

pub(crate) fn object(call: &mut Call<'_>) -> CommandResult {
    if call.is(1, "HELP") {
        let lines =
            ["OBJECT ENCODING <key>", "OBJECT FREQ <key>", "OBJECT IDLETIME <key>", "OBJECT REFCOUNT <key>"];
        call.out.array(lines.len());
        lines.into_iter().for_each(|line| call.out.simple(line));
        return Ok(());
    }
    let known = ["ENCODING", "FREQ", "IDLETIME", "REFCOUNT"];
    let Some(which) = known.iter().position(|word| call.is(1, word)).filter(|_| call.argc() == 3) else {
        return Err(super::subcommands::unknown("object", call.arg(1)));
    };
    let lfu = call.store.policy == Policy::AllKeysLfu;
    if which == 1 && !lfu {
        return Err(Error::Text(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
             switching between policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    }
    if which == 2 && lfu {
        return Err(Error::Text(
            "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between \
             policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    }
    let access = Access { now: call.store.now, policy: call.store.policy, random: 0 };
    // Looking is no use of the key.
    call.store.no_touch = true;
    let entry = call.store.find(call.db, call.args.at(2));
    match (which, entry) {
        (_, None) => call.out.null(),
        (0, Some(entry)) => call.out.bulk(encoding(entry).as_bytes()),
        (1, Some(entry)) => call.out.integer(access.frequency(entry.access()).into()),
        (2, Some(entry)) => call.out.integer(access.idle(entry.access()).into()),
        (_, Some(_)) => call.out.integer(1),
    }
    Ok(())
}

pub(crate) fn memory(call: &mut Call<'_>) -> CommandResult {
    /// Bytes of the table that an entry takes, in the mean.
    const SHARE: usize = 26;
    match () {
        () if call.is(1, "USAGE") && (call.argc() == 3 || (call.argc() == 5 && call.is(3, "SAMPLES"))) => {
            if call.argc() == 5 && call.int(4)? < 0 {
                return Err(Error::Syntax);
            }
            call.store.no_touch = true;
            match call.store.find(call.db, call.args.at(2)) {
                Some(entry) => call.out.integer((entry.size() + SHARE) as i64),
                None => call.out.null(),
            }
        }
        () if call.is(1, "STATS") && call.argc() == 2 => {
            let used = (call.server.heap_used)();
            let keys: usize = call.store.databases.iter().map(|d| d.table.len()).sum();
            let tables: usize = call.store.databases.iter().map(|d| d.table.overhead()).sum();
            let rows = [
                ("peak.allocated", call.server.peak.max(used)),
                ("total.allocated", used),
                ("keys.count", keys),
                ("keys.bytes-per-key", used.checked_div(keys).unwrap_or(0)),
                ("overhead.hashtable.main", tables),
                ("allocator.allocated", used),
                ("allocator.active", call.server.heap_size),
            ];
            call.out.map(rows.len());
            for (name, value) in rows {
                call.out.bulk(name.as_bytes());
                call.out.integer(value as i64);
            }
        }
        () if call.is(1, "DOCTOR") && call.argc() == 2 => {
            let full = (call.server.heap_used)() > call.server.limit() / 10 * 9;
            call.out.verbatim(match full {
                true => "More than nine tenths of maxmemory are in use.",
                false => "Memory is in good order.",
            });
        }
        () if call.is(1, "HELP") => {
            let lines = ["MEMORY DOCTOR", "MEMORY STATS", "MEMORY USAGE <key> [SAMPLES <count>]"];
            call.out.array(lines.len());
            lines.into_iter().for_each(|line| call.out.simple(line));
        }
        () => return Err(super::subcommands::unknown("memory", call.arg(1))),
    }
    Ok(())
}
