//! INFO.

use super::Call;
use crate::error::CommandResult;
use crate::server::{Server, VERSION};
use alloc::format;
use alloc::string::String;
use core::fmt::Write;

/// Writes the lines of a section.
type Section = fn(&Call<'_>) -> String;

pub(crate) fn info(call: &mut Call<'_>) -> CommandResult {
    let all = call.argc() == 1 || ["ALL", "EVERYTHING", "DEFAULT"].iter().any(|word| call.is(1, word));
    let mut text = String::new();
    let sections: [(&str, Section); 7] = [
        ("Server", server),
        ("Clients", clients),
        ("Memory", memory),
        ("Persistence", persistence),
        ("Stats", stats),
        ("Replication", replication),
        ("Keyspace", keyspace),
    ];
    for (name, lines) in sections {
        if all || (1..call.argc()).any(|at| call.is(at, name)) {
            let _ = write!(text, "{}# {name}\r\n{}", if text.is_empty() { "" } else { "\r\n" }, lines(call));
        }
    }
    call.out.verbatim(&text);
    Ok(())
}

fn server(call: &Call<'_>) -> String {
    let up = call.server.micros.saturating_sub(call.server.started) / 1_000_000;
    format!(
        "redis_version:{VERSION}\r\nredis_mode:standalone\r\nos:MiniOS x86_64\r\narch_bits:64\r\n\
         multiplexing_api:virtio\r\nprocess_id:1\r\ntcp_port:{}\r\nserver_time_usec:{}\r\nuptime_in_seconds:{up}\r\n\
         uptime_in_days:{}\r\n",
        call.server.settings.port,
        call.server.micros,
        up / 86_400
    )
}

fn clients(call: &Call<'_>) -> String {
    let clients = &call.server.clients;
    let blocked = clients.values().flatten().filter(|c| c.blocked.is_some()).count();
    format!(
        "connected_clients:{}\r\nmaxclients:{}\r\nblocked_clients:{blocked}\r\n",
        clients.len(),
        call.server.settings.max_clients
    )
}

fn memory(call: &Call<'_>) -> String {
    let s = &call.server;
    let used = (s.heap_used)();
    let peak = s.peak.max(used);
    let limit = s.settings.max_memory;
    format!(
        "used_memory:{used}\r\nused_memory_human:{}\r\nused_memory_rss:{used}\r\nused_memory_peak:{peak}\r\n\
         used_memory_peak_human:{}\r\ntotal_system_memory:{}\r\ntotal_system_memory_human:{}\r\nmaxmemory:{limit}\r\n\
         maxmemory_human:{}\r\nmaxmemory_policy:{}\r\nmem_allocator:talc\r\n",
        Server::human(used),
        Server::human(peak),
        s.heap_size,
        Server::human(s.heap_size),
        Server::human(limit),
        call.store.policy.name()
    )
}

fn persistence(call: &Call<'_>) -> String {
    format!(
        "loading:0\r\nrdb_changes_since_last_save:{}\r\nrdb_bgsave_in_progress:0\r\nrdb_last_save_time:0\r\n\
         aof_enabled:0\r\n",
        call.store.changes
    )
}

fn stats(call: &Call<'_>) -> String {
    let (t, c) = (&call.server.stats, &call.store.counters);
    format!(
        "total_connections_received:{}\r\ntotal_commands_processed:{}\r\ntotal_net_input_bytes:{}\r\n\
         total_net_output_bytes:{}\r\nrejected_connections:{}\r\nexpired_keys:{}\r\nevicted_keys:{}\r\n\
         keyspace_hits:{}\r\nkeyspace_misses:{}\r\npubsub_channels:{}\r\npubsub_patterns:{}\r\n\
         total_error_replies:{}\r\nclient_output_buffer_limit_disconnections:{}\r\n",
        t.connections,
        t.commands,
        t.bytes_in,
        t.bytes_out,
        t.rejected,
        c.expired,
        c.evicted,
        c.hits,
        c.misses,
        call.server.channels.len(),
        call.server.patterns.len(),
        t.errors,
        t.overflowed
    )
}

fn replication(_: &Call<'_>) -> String {
    String::from("role:master\r\nconnected_slaves:0\r\n")
}

fn keyspace(call: &Call<'_>) -> String {
    let mut text = String::new();
    for (number, database) in call.store.databases.iter().enumerate() {
        if database.table.len() > 0 {
            let (keys, expiring) = (database.table.len(), database.expiring);
            let _ = write!(text, "db{number}:keys={keys},expires={expiring},avg_ttl=0\r\n");
        }
    }
    text
}
