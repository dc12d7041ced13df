//! Bytes of a client, cut anywhere: the parser and every command behind it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redis_engine::{Engine, Setup};

fuzz_target!(|data: &[u8]| {
    let setup = Setup { heap_size: 4 << 20, ..Setup::default() };
    let mut now = 1_700_000_000_000_000;
    let mut engine = Engine::new(setup, now);
    let clients = [0, 1].map(|_| engine.connect("a:1".to_owned(), "b:2".to_owned()));
    // The first byte of a piece says whose it is, how long it is and how much time passes.
    let mut rest = data;
    while let Some((&first, more)) = rest.split_first() {
        let length = (usize::from(first >> 1 & 63) + 1).min(more.len());
        let (piece, after) = more.split_at(length);
        rest = after;
        let client = clients[usize::from(first & 1)];
        now += u64::from(first >> 7) * 700_000;
        engine.set_time(now);
        engine.tick();
        let taken = engine.feed(client, piece);
        assert!(taken <= piece.len());
        for id in clients {
            let pending = engine.output(id).len();
            engine.sent(id, pending);
            while engine.has_requests(id) {
                engine.feed(id, &[]);
                let pending = engine.output(id).len();
                engine.sent(id, pending);
            }
        }
        while engine.next_pending_write().is_some() {}
    }
    for id in clients {
        engine.disconnect(id);
    }
    assert_eq!(engine.clients(), 0);
});
