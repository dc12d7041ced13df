//! Expiry of keys that nobody asks for.

use redis_engine::{Engine, Setup};

/// Sets keys, one every `step` microseconds, while others expire already: none may stay behind.
fn left_behind(keys: u64, step: u64, seed: u64) -> usize {
    let setup = Setup { seed: [seed, 2], ..Setup::default() };
    let mut now = 1_700_000_000_000_000;
    let mut engine = Engine::new(setup, now);
    let client = engine.connect("a:1".to_owned(), "b:2".to_owned());
    for key in 0..keys {
        now += step;
        engine.set_time(now);
        engine.tick();
        let line = format!("SET key:{key} value PX {}\r\n", 50 + key % 50);
        engine.feed(client, line.as_bytes());
        let sent = engine.output(client).len();
        engine.sent(client, sent);
    }
    for _ in 0..100 {
        now += 100_000;
        engine.set_time(now);
        engine.tick();
    }
    engine.keys()
}

#[test]
fn no_key_stays_when_it_has_expired() {
    for step in (100..400).step_by(10) {
        for seed in 1..4 {
            assert_eq!(left_behind(500, step, seed), 0, "a key every {step} us, seed {seed}");
        }
    }
}
