//! Blocked clients: who gets what, and who gets nothing any more.

use redis_engine::{Engine, Setup};

struct Server {
    engine: Engine,
}

impl Server {
    fn new() -> Self {
        Self { engine: Engine::new(Setup::default(), 1_700_000_000_000_000) }
    }

    fn connect(&mut self) -> u64 {
        self.engine.connect("a:1".to_owned(), "b:2".to_owned())
    }

    /// Sends an inline request; what the client has been sent by then.
    fn ask(&mut self, client: u64, line: &str) -> String {
        let bytes = format!("{line}\r\n");
        assert_eq!(self.engine.feed(client, bytes.as_bytes()), bytes.len());
        self.output(client)
    }

    fn output(&mut self, client: u64) -> String {
        let text = String::from_utf8_lossy(self.engine.output(client)).into_owned();
        self.engine.sent(client, text.len());
        text
    }
}

/// The connection of a killed client may take long to end; nothing may go to it meanwhile.
#[test]
fn a_killed_client_takes_nothing() {
    for (before, block, give, left) in [
        ("PING", "BLPOP q 0", "LPUSH q job", "LLEN q"),
        ("PING", "BRPOP q 0", "LPUSH q job", "LLEN q"),
        ("PING", "BLMOVE q r LEFT RIGHT 0", "LPUSH q job", "LLEN q"),
        ("PING", "BRPOPLPUSH q r 0", "LPUSH q job", "LLEN q"),
        ("PING", "BLMPOP 0 1 q LEFT", "LPUSH q job", "LLEN q"),
        ("PING", "BZPOPMIN q 0", "ZADD q 1 job", "ZCARD q"),
        ("PING", "BZPOPMAX q 0", "ZADD q 1 job", "ZCARD q"),
        ("PING", "BZMPOP 0 1 q MIN", "ZADD q 1 job", "ZCARD q"),
    ] {
        let mut server = Server::new();
        let (victim, next, other) = (server.connect(), server.connect(), server.connect());
        server.ask(other, before);
        server.ask(victim, block);
        assert_eq!(server.ask(other, &format!("CLIENT KILL ID {victim}")), ":1\r\n");
        assert_eq!(server.ask(other, give), ":1\r\n");
        assert_eq!(server.output(victim), "", "{block}");
        assert_eq!(server.ask(other, left), ":1\r\n", "{block}: the job is gone");
        // Nor does it stand in the way of a client that lives.
        assert!(server.ask(next, &block.replace(" 0", " 1")).contains("job"), "{block}");
    }
    let mut server = Server::new();
    let (victim, other) = (server.connect(), server.connect());
    server.ask(other, "XGROUP CREATE s g 0 MKSTREAM");
    server.ask(victim, "XREADGROUP GROUP g c BLOCK 0 STREAMS s >");
    server.ask(other, &format!("CLIENT KILL ID {victim}"));
    server.ask(other, "XADD s 1-1 a b");
    assert_eq!(server.ask(other, "XPENDING s g"), "*4\r\n:0\r\n$-1\r\n$-1\r\n*-1\r\n");
}

/// A kill within a transaction comes before what the transaction pushes.
#[test]
fn a_client_killed_in_a_transaction_takes_nothing() {
    let mut server = Server::new();
    let (victim, next, other) = (server.connect(), server.connect(), server.connect());
    server.ask(victim, "BLPOP q 0");
    server.ask(next, "BLPOP q 0");
    for line in ["MULTI", &format!("CLIENT KILL ID {victim}"), "LPUSH q job", "EXEC"] {
        server.ask(other, line);
    }
    assert_eq!(server.output(victim), "");
    assert!(server.output(next).contains("job"));
}

/// A stream that goes, by whatever way, unblocks the readers of its groups.
#[test]
fn readers_of_a_group_learn_that_the_stream_is_gone() {
    for (before, line) in [
        ("PING", "SET s x"),
        ("PING", "DEL s"),
        ("PING", "UNLINK s"),
        ("PING", "FLUSHALL"),
        ("PING", "FLUSHDB"),
        ("PING", "RENAME s t"),
        ("PING", "MOVE s 1"),
        ("PING", "SWAPDB 0 1"),
        ("LPUSH l 1", "RENAME l s"),
        ("LPUSH l 1", "COPY l s REPLACE"),
        ("LPUSH l 1", "SORT l STORE s"),
        ("SADD m 1", "SUNIONSTORE s m"),
        ("SADD m 1", "SUNIONSTORE s none"),
        ("PING", "EXPIRE s -1"),
    ] {
        let mut server = Server::new();
        let (reader, other) = (server.connect(), server.connect());
        server.ask(other, "XGROUP CREATE s g 0 MKSTREAM");
        server.ask(other, before);
        server.ask(reader, "XREADGROUP GROUP g c BLOCK 0 STREAMS s >");
        server.ask(other, line);
        assert_eq!(server.output(reader), "-UNBLOCKED the stream key no longer exists\r\n", "{line}");
    }
    let mut server = Server::new();
    let (reader, other) = (server.connect(), server.connect());
    server.ask(other, "XGROUP CREATE s g 0 MKSTREAM");
    server.ask(other, "PEXPIRE s 50");
    server.ask(reader, "XREADGROUP GROUP g c BLOCK 0 STREAMS s >");
    server.engine.set_time(1_700_000_000_200_000);
    server.engine.tick();
    assert_eq!(server.output(reader), "-UNBLOCKED the stream key no longer exists\r\n");
}

/// What redis-py, exporters and operators read.
#[test]
fn info_has_the_sections_that_clients_look_for() {
    let mut server = Server::new();
    let client = server.connect();
    for line in ["GET k", "LPUSH l 1", "GET l", "GET", "NOSUCH x", "MULTI", "GET k", "EXEC"] {
        server.ask(client, line);
    }
    let default = server.ask(client, "INFO");
    for line in [
        "cluster_enabled:0",
        "used_cpu_user:0.000000",
        "errorstat_ERR:count=2",
        "errorstat_WRONGTYPE:count=1",
    ] {
        assert!(default.contains(&format!("{line}\r\n")), "{line}: {default}");
    }
    assert!(!default.contains("cmdstat_"));
    for section in ["commandstats", "all", "everything"] {
        let text = server.ask(client, &format!("INFO {section}"));
        let get = "cmdstat_get:calls=3,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=1\r\n";
        assert!(text.contains(get), "{section}: {text}");
    }
    assert_eq!(server.ask(client, "INFO cluster"), "$30\r\n# Cluster\r\ncluster_enabled:0\r\n\r\n");
    server.ask(client, "CONFIG RESETSTAT");
    assert!(!server.ask(client, "INFO all").contains("cmdstat_get"));
}
