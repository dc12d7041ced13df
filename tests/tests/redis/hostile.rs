//! What strangers may send: the server answers or closes, and goes on.

use crate::host::{Client, GUEST, Guest, encode};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[test]
fn garbage_is_answered_and_ends_the_connection() {
    let guest = Guest::start(&[]);
    for (bytes, says) in [
        (&b"*a\r\n"[..], "-ERR Protocol error: invalid multibulk length"),
        (b"*99999999\r\n", "-ERR Protocol error: invalid multibulk length"),
        (b"*1\r\n+PING\r\n", "-ERR Protocol error: expected '$', got '+'"),
        (b"*1\r\n$-7\r\n", "-ERR Protocol error: invalid bulk length"),
        (b"*1\r\n$99999999999999999999\r\n", "-ERR Protocol error: invalid bulk length"),
        (b"SET a \"b\r\n", "-ERR Protocol error: unbalanced quotes in request"),
    ] {
        let mut client = guest.connect();
        client.send(bytes);
        assert_eq!(client.reply(), says);
        assert!(client.is_closed(), "{says}");
    }
    let mut client = guest.connect();
    client.send(&[b'x'; 100_000]);
    assert_eq!(client.reply(), "-ERR Protocol error: too big inline request");
    // Noise from a generator: whatever comes back, the next client is served.
    let mut state = 1u64;
    for _ in 0..50 {
        let mut client = guest.connect();
        let noise: Vec<u8> = (0..5000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                b"*$+-:\r\n0123456789 SETGETabc\"\\\0\xff"[(state >> 33) as usize % 31]
            })
            .collect();
        let _ = client.stream().write_all(&noise);
    }
    guest.stop();
}

/// A length costs nothing until its bytes come, and when they come, no more than there is.
#[test]
fn large_headers_allocate_nothing() {
    let guest = Guest::start(&["--memory", "64"]);
    let mut clients: Vec<Client> = (0..100).map(|_| guest.connect()).collect();
    for client in &mut clients {
        client.send(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$536870912\r\nxxxxxxxxxxxxxxxx");
    }
    let mut other = guest.connect();
    assert_eq!(other.ask("SET b 1"), "+OK");
    let used = other.ask("INFO memory");
    let used = used.split("used_memory:").nth(1).and_then(|t| t.split('\\').next()).map(str::parse::<u64>);
    assert!(used.clone().is_some_and(|u| u.is_ok_and(|u| u < 24 << 20)), "{used:?}");
    drop(clients);
    // Now with the bytes.
    let mut client = guest.connect();
    client.send(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$536870912\r\n");
    let chunk = vec![b'x'; 1 << 20];
    let cut = (0..512).any(|_| client.stream().write_all(&chunk).is_err());
    assert!(cut, "a value of 512 MiB fits into 64 MiB");
    // A million arguments of nothing.
    let mut client = guest.connect();
    let mut bytes = b"*1048576\r\n$4\r\nMGET\r\n".to_vec();
    bytes.extend(b"$0\r\n\r\n".repeat(1_048_575));
    let _ = client.stream().write_all(&bytes);
    assert_eq!(other.ask("GET b"), "\"1\"");
    guest.stop();
}

#[test]
fn nesting_stops_somewhere() {
    let guest = Guest::start(&[]);
    // Arrays in arrays are no requests.
    let mut client = guest.connect();
    client.send(&b"*1\r\n".repeat(100_000));
    assert_eq!(client.reply(), "-ERR Protocol error: expected '$', got '*'");
    // Transactions do not nest, however often somebody tries, and patterns do not explode.
    let mut client = guest.connect();
    assert_eq!(client.ask("MULTI"), "+OK");
    for _ in 0..1000 {
        assert!(client.ask("MULTI").starts_with("-ERR MULTI calls can not be nested"));
    }
    assert_eq!(client.ask("EXEC"), "[]");
    let text = "a".repeat(5000);
    assert_eq!(client.ask(&format!("SET {text} 1")), "+OK");
    let begun = Instant::now();
    assert_eq!(client.ask(&format!("KEYS {}b", "a*".repeat(1000))), "[]");
    assert!(begun.elapsed() < Duration::from_secs(2));
    guest.stop();
}

/// Somebody asks for much and never reads: others do not notice.
#[test]
fn a_client_that_never_reads_blocks_nobody() {
    let guest = Guest::start(&["--memory", "64"]);
    let mut other = guest.connect();
    let value = "x".repeat(100_000);
    assert_eq!(other.ask(&format!("SET large {value}")), "+OK");
    let mut deaf: Vec<Client> = (0..20).map(|_| guest.connect()).collect();
    for client in &mut deaf {
        let stream = client.stream();
        stream.set_nonblocking(true).expect("a socket");
        let requests = encode(&["GET", "large"]).repeat(1000);
        let mut at = 0;
        let until = Instant::now() + Duration::from_millis(200);
        while at < requests.len() && Instant::now() < until {
            match stream.write(&requests[at..]) {
                Ok(n) => at += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(5)),
                Err(_) => break,
            }
        }
    }
    let begun = Instant::now();
    for _ in 0..100 {
        assert_eq!(other.ask("PING"), "+PONG");
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    // A subscriber that does not read is cut off before it takes everybody's memory.
    let mut subscriber = guest.connect();
    assert!(subscriber.ask("SUBSCRIBE c").contains("subscribe"));
    let mut reached = 1;
    for _ in 0..2000 {
        reached = other.ask(&format!("PUBLISH c {value}")).trim_start_matches(':').parse().expect("a number");
        if reached == 0 {
            break;
        }
    }
    assert_eq!(reached, 0, "the subscriber was never cut off");
    guest.stop();
}

/// Ten thousand connections are served, and closed again.
#[test]
fn ten_thousand_connections() {
    let guest = Guest::start(&[]);
    raise_file_limit();
    let address: std::net::SocketAddr = GUEST.parse().expect("an address");
    let mut streams: Vec<TcpStream> = Vec::new();
    guest.namespace.inside(|| {
        for _ in 0..10_000 {
            let stream = TcpStream::connect_timeout(&address, Duration::from_secs(10)).expect("a connection");
            stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
            streams.push(stream);
        }
    });
    // Some at a time: a TAP holds a thousand packets.
    for some in streams.chunks_mut(500) {
        for stream in &mut *some {
            stream.write_all(b"PING\r\n").expect("it takes it");
        }
        for stream in some {
            let mut buffer = [0; 7];
            stream.read_exact(&mut buffer).expect("an answer");
            assert_eq!(&buffer, b"+PONG\r\n");
        }
    }
    // One more is told so, in the words of Redis.
    let mut late = guest.connect();
    assert_eq!(late.reply(), "-ERR max number of clients reached");
    assert!(late.is_closed());
    drop(streams);
    let connected = |guest: &Guest| {
        let mut client = guest.connect();
        let info = client.ask("INFO clients");
        info.contains("connected_clients:1\\r")
    };
    e2e::eventually("all are gone", || connected(&guest));
    guest.stop();
}

fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointers are to a valid structure for the whole call.
    let done = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_max.min(20_000);
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit)
    };
    assert!(done == 0 && limit.rlim_cur >= 10_100, "the limit of open files is too low: {}", limit.rlim_max);
}

/// Writes keys until there is an error, and some more.
fn fill(client: &mut Client, count: usize, size: usize) -> usize {
    let value = "v".repeat(size);
    let mut refused = 0;
    for batch in 0..count / 100 {
        let words: Vec<Vec<u8>> =
            (0..100).map(|i| encode(&["SET", &format!("key:{}", batch * 100 + i), &value])).collect();
        client.send(&words.concat());
        for _ in 0..100 {
            refused += usize::from(client.reply().starts_with("-OOM command not allowed"));
        }
    }
    refused
}

#[test]
fn memory_can_be_filled() {
    let guest = Guest::start(&["--memory", "32"]);
    let mut client = guest.connect();
    assert!(fill(&mut client, 40_000, 1000) > 1000, "never full");
    // Reading and deleting still works, and what needs no memory.
    assert!(client.ask("GET key:0").starts_with("\"vvv"));
    let long = "x".repeat(10_000);
    for line in [
        "APPEND key:0 {}",
        "SETRANGE key:0 100000000 x",
        "LPUSH l {}",
        "MSET a {} c {}",
        "SETBIT b 4294967295 1",
    ] {
        assert!(client.ask(&line.replace("{}", &long)).starts_with("-OOM"), "{line}");
    }
    assert_eq!(client.ask("DEL key:0 key:1"), ":2");
    assert!(client.ask("DBSIZE").len() > 4);
    // Growing by other means than many keys.
    for (stem, line) in [
        ("APPEND", "APPEND big {}"),
        ("RPUSH", "RPUSH list {}"),
        ("HSET", "HSET hash {i} {}"),
        ("SADD", "SADD set {i}{}"),
        ("ZADD", "ZADD zset {i} {i}{}"),
        ("XADD", "XADD stream * f {}"),
    ] {
        assert_eq!(client.ask("FLUSHALL"), "+OK");
        let value = "w".repeat(20_000);
        let refused = (0..3000).any(|i| {
            let reply = client.ask(&line.replace("{i}", &i.to_string()).replace("{}", &value));
            reply.starts_with("-OOM")
        });
        assert!(refused, "{stem} was never refused");
    }
    guest.stop();
}

#[test]
fn eviction_keeps_what_its_policy_says() {
    let guest = Guest::start(&["--memory", "32", "--set", "maxmemory=6000000"]);
    let mut client = guest.connect();
    for policy in ["allkeys-lru", "allkeys-lfu"] {
        assert_eq!(client.ask("FLUSHALL"), "+OK");
        assert_eq!(client.ask(&format!("CONFIG SET maxmemory-policy {policy}")), "+OK");
        assert_eq!(client.ask("SET precious 1"), "+OK");
        let value = "v".repeat(500);
        for i in 0..20_000 {
            client.send(&encode(&["SET", &format!("k{i}"), &value]));
            assert_eq!(client.reply(), "+OK");
            // Ages count in seconds, as in Redis: what fits has to take more than one to write, on any host.
            if i % 2500 == 0 {
                std::thread::sleep(std::time::Duration::from_millis(400));
            }
            if i % 20 == 0 {
                assert_eq!(client.ask("GET precious"), "\"1\"", "{policy}: evicted after {i}");
            }
        }
        let size: usize = client.ask("DBSIZE").trim_start_matches(':').parse().expect("a number");
        assert!((1000..15_000).contains(&size), "{policy}: {size}");
    }
    assert_eq!(client.ask("FLUSHALL"), "+OK");
    assert_eq!(client.ask("CONFIG SET maxmemory-policy volatile-ttl"), "+OK");
    assert_eq!(client.ask("SET stays 1"), "+OK");
    for i in 0..20_000 {
        let ttl = if i % 2 == 0 { "100" } else { "100000" };
        assert_eq!(client.ask(&format!("SET k{i} {} EX {ttl}", "v".repeat(400))), "+OK");
    }
    assert_eq!(client.ask("GET stays"), "\"1\"");
    assert_eq!(client.ask("FLUSHALL"), "+OK");
    assert!(fill(&mut client, 20_000, 400) > 1000, "without an expiry nothing is evicted");
    guest.stop();
}

/// What needs memory for a moment, on collections that fill it.
#[test]
fn what_is_full_can_still_be_worked_on() {
    let guest = Guest::start(&["--memory", "16"]);
    for (grow, work) in [
        (
            "RPUSH c {}",
            "LRANGE c 0 -1|SORT c ALPHA|SORT c ALPHA STORE d|LMOVE c d LEFT LEFT|COPY c d|LPOP c 1000000",
        ),
        (
            "SADD c {i}{}",
            "SMEMBERS c|SUNIONSTORE d c c|SRANDMEMBER c -900000|SPOP c 100|SORT c ALPHA|SPOP c|SPOP c 900000",
        ),
        (
            "HSET c {i} {}",
            "HGETALL c|HRANDFIELD c -900000 WITHVALUES|HRANDFIELD c 900000 WITHVALUES|HVALS c|COPY c d",
        ),
        (
            "ZADD c {i} {i}{}",
            "ZRANGE c 0 -1|ZUNIONSTORE d 2 c c|ZRANDMEMBER c -900000|ZRANGESTORE d c 0 -1|ZPOPMIN c 900000",
        ),
        (
            "XADD c * f {}",
            "XRANGE c - +|XGROUP CREATE c g 0|XREADGROUP GROUP g x STREAMS c >|XPENDING c g - + 900000|COPY c d",
        ),
        (
            "SET k{i} {}",
            "KEYS *|MGET k1 k2 k3|APPEND k1 xx|RENAME k1 k2|SCAN 0 COUNT 900000|BITOP NOT d k2|LCS k2 k3|FLUSHALL",
        ),
    ] {
        for size in [300, 30_000] {
            let mut client = guest.connect();
            assert_eq!(client.ask("FLUSHALL"), "+OK");
            let value = "w".repeat(size);
            let mut number = 0;
            loop {
                let line = |i: usize| grow.replace("{i}", &i.to_string()).replace("{}", &value);
                let words = |i: usize| encode(&line(i).split(' ').collect::<Vec<_>>());
                let batch: Vec<u8> = (number..number + 200).flat_map(words).collect();
                client.send(&batch);
                number += 200;
                // All replies are read, whatever they say.
                let refused = (0..200).filter(|_| client.reply().starts_with("-OOM")).count();
                if refused > 0 {
                    break;
                }
            }
            for line in work.split('|') {
                // A reply that there is no room for ends the connection, and nothing else.
                let mut client = guest.connect();
                client.send(&encode(&line.split(' ').collect::<Vec<_>>()));
                let mut byte = [0; 1];
                let _ = client.stream().read(&mut byte);
                assert_eq!(guest.connect().ask("PING"), "+PONG", "{line} with elements of {size}");
            }
        }
    }
    guest.stop();
}

/// Without a limit of its own, a guest whose heap is full refuses what needs more, and keeps what it has.
#[test]
fn pushes_without_a_limit_are_refused_when_the_heap_is_full() {
    let guest = Guest::start(&["--memory", "56"]);
    let mut client = guest.connect();
    assert_eq!(client.ask("CONFIG SET maxmemory 0"), "+OK");
    let (value, mut refused) = ("v".repeat(2000), 0);
    for _ in 0..300 {
        client.send(&encode(&["LPUSH", "list", &value]).repeat(80));
        refused += (0..80).filter(|_| client.reply().starts_with("-OOM")).count();
    }
    assert!(refused > 100, "{refused} of 24000 were refused");
    let length: usize = client.ask("LLEN list")[1..].parse().expect("a number");
    assert_eq!(length + refused, 24_000);
    // Others are still let in, and can make room.
    let mut other = guest.connect();
    assert_eq!(other.ask("LTRIM list 0 9"), "+OK");
    assert_eq!(client.ask("LPUSH list x"), ":11");
    guest.stop();
}
