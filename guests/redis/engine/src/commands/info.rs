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
    let any = |words: &[&str]| (1..call.argc()).any(|at| words.iter().any(|word| call.is(at, word)));
    let default = call.argc() == 1 || any(&["ALL", "EVERYTHING", "DEFAULT"]);
    let all = any(&["ALL", "EVERYTHING"]);
    let mut text = String::new();
    // Name, writer, and whether it is shown unless it is asked for.
    let sections: [(&str, Section, bool); 11] = [
        ("Server", server, true),
        ("Clients", clients, true),
        ("Memory", memory, true),
        ("Persistence", persistence, true),
        ("Stats", stats, true),
        ("Replication", replication, true),
        ("CPU", cpu, true),
        ("Commandstats", command_stats, false),
        ("Errorstats", error_stats, true),
        ("Cluster", cluster, true),
        ("Keyspace", keyspace, true),
    ];
    for (name, lines, by_default) in sections {
        if all || (default && by_default) || any(&[name]) {
            let _ = write!(text, "{}# {name}\r\n{}", if text.is_empty() { "" } else { "\r\n" }, lines(call));
        }
    }
    call.out.verbatim(&text);
    Ok(())
}

/// All time is the program's own: there is no kernel below it.
fn cpu(call: &Call<'_>) -> String {
    let busy = (call.server.busy_us)();
    let (seconds, micros) = (busy / 1_000_000, busy % 1_000_000);
    format!(
        "used_cpu_sys:0.000000\r\nused_cpu_user:{seconds}.{micros:06}\r\nused_cpu_sys_children:0.000000\r\n\
         used_cpu_user_children:0.000000\r\nused_cpu_sys_main_thread:0.000000\r\n\
         used_cpu_user_main_thread:{seconds}.{micros:06}\r\n"
    )
}

fn command_stats(call: &Call<'_>) -> String {
    let mut text = String::new();
    for (command, calls) in call.server.calls.called() {
        let micros = calls.ns / 1000;
        let each = calls.ns as f64 / 1000.0 / calls.calls.max(1) as f64;
        let _ = write!(
            text,
            "cmdstat_{}:calls={},usec={micros},usec_per_call={each:.2},rejected_calls={},failed_calls={}\r\n",
            command.name, calls.calls, calls.rejected, calls.failed
        );
    }
    text
}

fn error_stats(call: &Call<'_>) -> String {
    let mut text = String::new();
    for (code, count) in &call.server.calls.errors {
        let _ = write!(text, "errorstat_{}:count={count}\r\n", code.text());
    }
    text
}

fn cluster(_: &Call<'_>) -> String {
    String::from("cluster_enabled:0\r\n")
}

fn server(call: &Call<'_>) -> String {
    let up = call.server.micros.saturating_sub(call.server.started) / 1_000_000;
    format!(
        "redis_version:{VERSION}\r\nredis_git_sha1:00000000\r\nredis_git_dirty:0\r\nredis_build_id:0\r\nredis_mode:standalone\r\nos:MiniOS x86_64\r\narch_bits:64\r\n\
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
        "connected_clients:{}\r\nmaxclients:{}\r\ncluster_connections:0\r\nblocked_clients:{blocked}\r\ntracking_clients:0\r\n",
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
         maxmemory_human:{}\r\nmaxmemory_policy:{}\r\nmem_fragmentation_ratio:1.00\r\nmem_allocator:talc\r\nused_memory_lua:0\r\nused_memory_scripts:0\r\nnumber_of_cached_scripts:0\r\n\
         active_defrag_running:0\r\nlazyfree_pending_objects:0\r\n",
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
        "loading:0\r\nrdb_changes_since_last_save:{}\r\nrdb_bgsave_in_progress:0\r\nrdb_last_save_time:0\r\nrdb_last_bgsave_status:ok\r\n\
         aof_enabled:0\r\naof_rewrite_in_progress:0\r\naof_last_bgrewrite_status:ok\r\naof_last_write_status:ok\r\n",
        call.store.changes
    )
}

fn stats(call: &Call<'_>) -> String {
    let (t, c) = (&call.server.stats, &call.store.counters);
    format!(
        "total_connections_received:{}\r\ntotal_commands_processed:{}\r\ntotal_net_input_bytes:{}\r\n\
         total_net_output_bytes:{}\r\nrejected_connections:{}\r\nexpired_keys:{}\r\nevicted_keys:{}\r\n\
         keyspace_hits:{}\r\nkeyspace_misses:{}\r\npubsub_channels:{}\r\npubsub_patterns:{}\r\n\
         total_error_replies:{}\r\nclient_output_buffer_limit_disconnections:{}\r\nsync_full:0\r\nsync_partial_ok:0\r\n\
         sync_partial_err:0\r\nlatest_fork_usec:0\r\nmigrate_cached_sockets:0\r\n",
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
    String::from(
        "role:master\r\nconnected_slaves:0\r\nmaster_failover_state:no-failover\r\nmaster_repl_offset:0\r\n\
         repl_backlog_active:0\r\n",
    )
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
