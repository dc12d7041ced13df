//! What others wrote for Redis: redis-cli, redis-benchmark, the `redis` crate, redis-py.

use crate::host::{GUEST, Guest};
use redis::{Commands, RedisResult};
use std::collections::{BTreeSet, HashMap};

fn address() -> (&'static str, &'static str) {
    GUEST.split_once(':').expect("address and port")
}

fn cli(guest: &Guest, words: &[&str]) -> String {
    let (host, port) = address();
    guest.command(&[&["redis-cli", "-h", host, "-p", port], words].concat()).trim_end().to_owned()
}

#[test]
fn redis_cli_talks_to_it() {
    let guest = Guest::start(&["--set", "requirepass=secret"]);
    assert!(cli(&guest, &["PING"]).contains("NOAUTH"));
    let ask = |words: &[&str]| cli(&guest, &[&["--no-auth-warning", "-a", "secret"], words].concat());
    assert_eq!(ask(&["PING"]), "PONG");
    assert_eq!(ask(&["SET", "greeting", "hello world"]), "OK");
    assert_eq!(ask(&["-3", "GET", "greeting"]), "hello world");
    assert_eq!(ask(&["-3", "HSET", "h", "a", "1", "b", "2"]), "2");
    assert_eq!(ask(&["-3", "HGETALL", "h"]), "a 1\nb 2");
    assert_eq!(ask(&["NOSUCH", "a"]), "ERR unknown command 'NOSUCH', with args beginning with: 'a'");
    assert!(ask(&["INFO", "server"]).contains("redis_version:"));
    assert!(ask(&["--scan"]).contains("greeting"));
    assert!(ask(&["--bigkeys"]).contains("Sampled 2 keys"));
    assert_eq!(ask(&["CONFIG", "GET", "maxmemory-policy"]), "maxmemory-policy\nnoeviction");
    guest.command(&[
        "redis-cli",
        "-h",
        address().0,
        "--no-auth-warning",
        "-a",
        "secret",
        "SHUTDOWN",
        "NOSAVE",
    ]);
    guest.ends_by_itself();
}

/// All the tests that it has, one request at a time and sixteen.
#[test]
fn redis_benchmark_runs_all_its_tests() {
    let guest = Guest::start(&[]);
    for pipeline in ["1", "16"] {
        let words = ["redis-benchmark", "-h", address().0, "-n", "5000", "-P", pipeline, "--csv"];
        let out = guest.command(&words);
        for test in
            ["PING_INLINE", "SET", "GET", "INCR", "LPUSH", "RPOP", "SADD", "HSET", "SPOP", "ZADD", "ZPOPMIN"]
        {
            assert!(out.contains(&format!("\"{test}\",")), "{test} is missing: {out}");
        }
        assert!(out.contains("LRANGE_600") && out.contains("MSET"), "{out}");
    }
    guest.stop();
}

#[test]
fn the_redis_crate_works() {
    let guest = Guest::start(&[]);
    let result: RedisResult<()> = guest.namespace.inside(|| {
        let mut c = redis::Client::open(format!("redis://{GUEST}/?protocol=resp3"))?.get_connection()?;
        let () = c.set_ex("key", 42, 100)?;
        assert_eq!(c.get::<_, i32>("key")?, 42);
        assert_eq!(c.incr::<_, _, i32>("key", 8)?, 50);
        assert!(c.ttl::<_, i64>("key")? > 98);
        let () = c.hset_multiple("hash", &[("a", 1), ("b", 2)])?;
        assert_eq!(c.hgetall::<_, HashMap<String, i32>>("hash")?["b"], 2);
        let () = c.sadd("set", &["x", "y", "x"])?;
        assert_eq!(c.smembers::<_, BTreeSet<String>>("set")?.len(), 2);
        let () = c.zadd_multiple("zset", &[(1.5, "one"), (2.5, "two")])?;
        let range: Vec<(String, f64)> = c.zrange_withscores("zset", 0, -1)?;
        assert_eq!(range, [("one".to_owned(), 1.5), ("two".to_owned(), 2.5)]);
        let (a, b): (i32, Vec<String>) = redis::pipe()
            .atomic()
            .incr("n", 1)
            .rpush("list", "v")
            .ignore()
            .lrange("list", 0, -1)
            .query(&mut c)?;
        assert_eq!((a, b), (1, vec!["v".to_owned()]));
        let keys: BTreeSet<String> = c.scan()?.collect::<RedisResult<_>>()?;
        assert_eq!(keys.len(), 6);
        let error = c.lpush::<_, _, ()>("key", 1).expect_err("a string is no list");
        assert_eq!(error.code(), Some("WRONGTYPE"));
        Ok(())
    });
    result.unwrap_or_else(|e| panic!("{e}"));
    guest.stop();
}

const PYTHON: &str = include_str!("client.py");

#[test]
fn redis_py_works() {
    let guest = Guest::start(&[]);
    assert_eq!(guest.command(&["/usr/bin/python3", "-c", PYTHON, address().0]).trim(), "done");
    guest.stop();
}
