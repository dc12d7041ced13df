//! Settings and the server as a whole.

use super::Call;
use crate::error::{CommandResult, Error};
use crate::glob;
use crate::number::parse_i64;
use crate::server::Stats;
use crate::stats::CallStats;
use crate::store::keyspace::{Counters, DATABASES};
use crate::store::policy::Policy;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

/// Settings that cannot be changed, because there is nothing to change.
const FIXED: [(&str, &str); 12] = [
    ("appendonly", "no"),
    ("save", ""),
    ("proto-max-bulk-len", "536870912"),
    ("hash-max-listpack-entries", "128"),
    ("hash-max-listpack-value", "64"),
    ("set-max-listpack-entries", "128"),
    ("set-max-listpack-value", "64"),
    ("zset-max-listpack-entries", "128"),
    ("zset-max-listpack-value", "64"),
    ("lfu-log-factor", "10"),
    ("lfu-decay-time", "1"),
    ("io-threads", "1"),
];

fn settings(call: &Call<'_>) -> Vec<(&'static str, String)> {
    let s = &call.server.settings;
    let mut all = vec![
        ("maxmemory", s.max_memory.to_string()),
        ("maxmemory-policy", call.store.policy.name().to_string()),
        ("maxclients", s.max_clients.to_string()),
        ("requirepass", String::from_utf8_lossy(&s.password).into_owned()),
        ("port", s.port.to_string()),
        ("timeout", s.timeout.to_string()),
        ("databases", DATABASES.to_string()),
    ];
    all.extend(FIXED.iter().map(|(name, value)| (*name, value.to_string())));
    all
}

/// A number of bytes, with a unit or without.
fn bytes(text: &[u8]) -> Option<usize> {
    let text = core::str::from_utf8(text).ok()?.to_ascii_lowercase();
    let units = [
        ("kb", 1 << 10),
        ("mb", 1 << 20),
        ("gb", 1 << 30),
        ("k", 1000),
        ("m", 1_000_000),
        ("g", 1_000_000_000),
    ];
    let (digits, unit) = units
        .iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)))
        .unwrap_or((text.strip_suffix('b').unwrap_or(&text), 1));
    digits.parse::<usize>().ok()?.checked_mul(unit)
}

enum Setting {
    MaxMemory(usize),
    Policy(Policy),
    MaxClients(usize),
    Password(Vec<u8>),
    Timeout(u64),
    Unchanged,
}

fn setting(call: &Call<'_>, name: &[u8], value: &[u8]) -> Result<Setting, Error> {
    let shown = super::shown(name);
    let failed = |why: &str| {
        Error::Formatted(format!("ERR CONFIG SET failed (possibly related to argument '{shown}') - {why}"))
    };
    let lower = name.to_ascii_lowercase();
    match &lower[..] {
        b"maxmemory" => bytes(value).map(Setting::MaxMemory).ok_or(failed("argument must be a memory value")),
        b"maxmemory-policy" => {
            let names: Vec<&str> = Policy::ALL.iter().map(|(_, name)| *name).collect();
            let why = format!("argument(s) must be one of the following: {}", names.join(", "));
            Policy::named(value).map(Setting::Policy).ok_or(failed(&why))
        }
        b"maxclients" => {
            let most = call.server.heap_size / 4096;
            let n = parse_i64(value).filter(|n| (1..=most as i64).contains(n));
            n.map(|n| Setting::MaxClients(n as usize)).ok_or(failed("memory does not suffice for so many"))
        }
        b"requirepass" => Ok(Setting::Password(value.to_vec())),
        b"timeout" => {
            let n = parse_i64(value).filter(|n| (0..=i32::MAX.into()).contains(n));
            n.map(|n| Setting::Timeout(n as u64))
                .ok_or(failed("argument must be between 0 and 2147483647 inclusive"))
        }
        _ => match settings(call).into_iter().find(|(known, _)| known.as_bytes() == lower) {
            Some((_, now)) if now.as_bytes() == value => Ok(Setting::Unchanged),
            Some(_) => Err(failed("can't set immutable config")),
            None => Err(Error::Formatted(format!(
                "ERR Unknown option or number of arguments for CONFIG SET - '{shown}'"
            ))),
        },
    }
}

pub(crate) fn config(call: &mut Call<'_>) -> CommandResult {
    let n = call.argc();
    if call.is(1, "GET") && n >= 3 {
        call.ensure_transient(2 * call.server.settings.password.len())?;
        let all = settings(call);
        let wanted =
            |name: &str| call.args.from(2).any(|pattern| glob::matches(pattern, name.as_bytes(), true));
        let found: Vec<_> = all.into_iter().filter(|(name, _)| wanted(name)).collect();
        call.out.map(found.len());
        for (name, value) in found {
            call.out.bulk(name.as_bytes());
            call.out.bulk(value.as_bytes());
        }
    } else if call.is(1, "SET") && n >= 4 && n.is_multiple_of(2) {
        call.ensure_memory(3 * call.args.copied_bytes())?;
        // All are checked before any is changed.
        let mut changes = Vec::new();
        for at in (2..n).step_by(2) {
            changes.push(setting(call, call.args.at(at), call.args.at(at + 1))?);
        }
        for change in changes {
            match change {
                Setting::MaxMemory(bytes) => call.server.settings.max_memory = bytes,
                Setting::Policy(policy) => call.store.policy = policy,
                Setting::MaxClients(n) => call.server.settings.max_clients = n,
                Setting::Password(password) => call.server.settings.password = password,
                Setting::Timeout(seconds) => call.server.settings.timeout = seconds,
                Setting::Unchanged => {}
            }
        }
        call.out.ok();
    } else if call.is(1, "RESETSTAT") && n == 2 {
        call.server.stats = Stats::default();
        call.server.calls = CallStats::new();
        call.store.counters = Counters::default();
        call.out.ok();
    } else if call.is(1, "REWRITE") && n == 2 {
        return Err(Error::Text("ERR The server is running without a config file"));
    } else if call.is(1, "HELP") {
        let lines = ["CONFIG GET <pattern>", "CONFIG SET <directive> <value>", "CONFIG RESETSTAT"];
        call.out.array(lines.len());
        lines.into_iter().for_each(|line| call.out.simple(line));
    } else {
        return Err(super::subcommands::unknown("config", call.arg(1)));
    }
    Ok(())
}

pub(crate) fn time(call: &mut Call<'_>) -> CommandResult {
    let micros = call.server.micros;
    call.out.array(2);
    call.out.bulk_integer((micros / 1_000_000) as i64);
    call.out.bulk_integer((micros % 1_000_000) as i64);
    Ok(())
}

pub(crate) fn shutdown(call: &mut Call<'_>) -> CommandResult {
    if call.is(1, "SAVE") {
        return no_persistence(call);
    }
    if call.argc() > 2 || (call.argc() == 2 && !call.is(1, "NOSAVE")) {
        return Err(Error::Syntax);
    }
    call.server.shutdown = true;
    call.client.close_after_reply = true;
    Ok(())
}

/// SAVE and its kin.
pub(crate) fn no_persistence(_: &mut Call<'_>) -> CommandResult {
    Err(Error::Text("ERR This server has no persistence: its keys live as long as its machine"))
}

pub(crate) fn role(call: &mut Call<'_>) -> CommandResult {
    call.out.array(3);
    call.out.bulk(b"master");
    call.out.integer(0);
    call.out.array(0);
    Ok(())
}

/// What tests need of DEBUG.
pub(crate) fn debug(call: &mut Call<'_>) -> CommandResult {
    if call.is(1, "SET-ACTIVE-EXPIRE") && call.argc() == 3 {
        call.store.active_expiry = match call.arg(2) {
            b"0" => false,
            b"1" => true,
            _ => return Err(Error::Syntax),
        };
        call.out.ok();
    } else {
        return Err(super::subcommands::unknown("debug", call.arg(1)));
    }
    Ok(())
}
