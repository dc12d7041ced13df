//! A heap that is full is an error of the request that needed more, whatever clients send.
//!
//! The engine allocates from an arena of a few MiB here, by the allocator that guests have. An allocation that it does not
//! check first ends this process, as it would end a guest.

use redis_engine::{Engine, Setup};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use talc::TalcCell;
use talc::source::Manual;

/// Bytes of the arena.
const HEAP: usize = 8 << 20;

struct Arena(TalcCell<Manual>);

// SAFETY: only the thread that holds `ARENA_LOCK` and has `IN_ARENA` set allocates from it.
unsafe impl Sync for Arena {}

static ARENA: Arena = Arena(TalcCell::new(Manual));
static ARENA_LOCK: Mutex<()> = Mutex::new(());
/// Where the arena lies; 0 before there is one.
static BASE: AtomicUsize = AtomicUsize::new(0);
/// Bytes that allocations in the arena have, with what the allocator adds.
static USED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static IN_ARENA: Cell<bool> = const { Cell::new(false) };
}

fn cost(size: usize) -> usize {
    (size + 1).next_multiple_of(32)
}

struct Switch;

// SAFETY: both allocators keep the contract; a block goes back to the one whose address range it is in.
unsafe impl GlobalAlloc for Switch {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !IN_ARENA.get() {
            // SAFETY: the caller's.
            return unsafe { System.alloc(layout) };
        }
        // SAFETY: the caller's; this thread holds the lock.
        let block = unsafe { ARENA.0.alloc(layout) };
        if !block.is_null() {
            USED.fetch_add(cost(layout.size()), Ordering::Relaxed);
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let base = BASE.load(Ordering::Relaxed);
        if base == 0 || !(base..base + HEAP).contains(&(block as usize)) {
            // SAFETY: the caller's.
            return unsafe { System.dealloc(block, layout) };
        }
        USED.fetch_sub(cost(layout.size()), Ordering::Relaxed);
        // SAFETY: the block is the arena's; this thread holds the lock.
        unsafe { ARENA.0.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Switch = Switch;

/// An engine in the arena, and the exclusive use of it.
struct Server {
    engine: Option<Engine>,
    _lock: MutexGuard<'static, ()>,
}

fn within<T>(work: impl FnOnce() -> T) -> T {
    IN_ARENA.set(true);
    let result = work();
    IN_ARENA.set(false);
    result
}

impl Server {
    fn new() -> Self {
        let lock = ARENA_LOCK.lock().unwrap_or_else(|e| e.into_inner());
        if BASE.load(Ordering::Relaxed) == 0 {
            let area = vec![0u8; HEAP].leak();
            BASE.store(area.as_ptr() as usize, Ordering::Relaxed);
            // SAFETY: the area is leaked and nobody else's.
            unsafe { ARENA.0.claim(area.as_mut_ptr(), HEAP) };
        }
        let engine = within(|| {
            let setup = Setup {
                heap_used: || USED.load(Ordering::Relaxed),
                heap_size: HEAP,
                max_memory: None,
                max_clients: 50,
                ..Setup::default()
            };
            Engine::new(setup, 1_700_000_000_000_000)
        });
        Self { engine: Some(engine), _lock: lock }
    }

    fn connect(&mut self) -> u64 {
        let engine = self.engine.as_mut().expect("it runs");
        within(|| engine.connect("a:1".to_owned(), "b:2".to_owned()))
    }

    /// Sends bytes, and reads every reply; the start of them, or `None` if the connection ended.
    fn send(&mut self, client: u64, mut bytes: &[u8]) -> Option<Vec<u8>> {
        let engine = self.engine.as_mut().expect("it runs");
        let mut start = Vec::new();
        loop {
            let taken = within(|| engine.feed(client, bytes));
            bytes = &bytes[taken..];
            let output = engine.output(client);
            start.extend_from_slice(&output[..output.len().min(200)]);
            let length = output.len();
            within(|| engine.sent(client, length));
            while within(|| engine.next_pending_write()).is_some() {}
            if engine.is_closing(client) {
                within(|| engine.disconnect(client));
                return None;
            }
            if taken == 0 && length == 0 && !engine.has_requests(client) {
                return Some(start);
            }
        }
    }

    fn ask(&mut self, client: u64, line: &str) -> Option<Vec<u8>> {
        self.send(client, &encode(&line.split(' ').map(|w| w.as_bytes().to_vec()).collect::<Vec<_>>()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let engine = self.engine.take();
        within(|| drop(engine));
        if !std::thread::panicking() {
            assert_eq!(USED.load(Ordering::Relaxed), 0, "the engine leaks");
        }
    }
}

fn encode(words: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Pushes without a limit, one after the other, without waiting for replies.
#[test]
fn pipelined_pushes_without_a_limit_are_refused_when_the_heap_is_full() {
    for (command, size) in [("LPUSH", 2000), ("RPUSH", 2000), ("RPUSH", 1), ("RPUSH", 30), ("SADD", 2000)] {
        let mut server = Server::new();
        let client = server.connect();
        server.ask(client, "CONFIG SET maxmemory 0");
        let (mut refused, mut number) = (0, 0);
        while refused < 20 {
            let mut bytes = Vec::new();
            for _ in 0..200 {
                number += 1;
                let mut value = vec![b'v'; size];
                if command == "SADD" {
                    value.extend_from_slice(number.to_string().as_bytes());
                }
                bytes.extend(encode(&[command.into(), b"key".to_vec(), value]));
            }
            let replies = server.send(client, &bytes).expect("the connection lives");
            refused += usize::from(replies.windows(4).any(|w| w == b"-OOM"));
            assert!(number < 10_000_000, "never full");
        }
        // The data is there, and room can be made.
        let count = if command == "SADD" { "SCARD key" } else { "LLEN key" };
        assert!(server.ask(client, count).expect("it lives").len() > 4);
        assert_eq!(server.ask(client, "DEL key").as_deref(), Some(&b":1\r\n"[..]));
        assert_eq!(server.ask(client, "SET a b").as_deref(), Some(&b"+OK\r\n"[..]));
    }
}

struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }
}

/// Commands with `k` a key, `v` a value of any size, `m` a small value, `n` a number, and `V` one or many values.
const COMMANDS: &str = "SET k v|SET k v|SET k v GET|GETSET k v|APPEND k v|SETRANGE k n v|GET k|MGET k k k|MSET k v k v|DEL k|SETBIT k n 1
RPUSH l V|LPUSH l V|LPUSH l v|LINSERT l BEFORE m v|LSET l 0 v|LRANGE l 0 -1|LPOP l n|LMOVE l l LEFT RIGHT|LREM l 0 m|LTRIM l 0 n|DEL l
HSET h V V|HSET h m v|HGETALL h|HRANDFIELD h -n WITHVALUES|HDEL h V|HINCRBY h m 1|DEL h|HVALS h
SADD s V|SADD s v|SMEMBERS s|SUNION s s|SUNIONSTORE s s s|SINTERSTORE s s s|SDIFF s s|SPOP s n|SRANDMEMBER s n|SRANDMEMBER s -n|DEL s
ZADD z 1 v|ZADD z n m|ZUNIONSTORE z 2 z s|ZUNION 2 z z WITHSCORES|ZRANGESTORE z z 0 -1|ZRANGE z 0 -1 WITHSCORES|ZPOPMIN z n|ZINTER 2 z z|DEL z
XADD x * m v|XADD x * V V|XRANGE x - +|XGROUP CREATE x g 0 MKSTREAM|XREADGROUP GROUP g m COUNT n STREAMS x >|XPENDING x g - + n|XACK x g n
XAUTOCLAIM x g m 0 0|XGROUP CREATECONSUMER x g v|XINFO CONSUMERS x g|XTRIM x MAXLEN n|DEL x|XGROUP CREATE x v 0|XCLAIM x g m 0 n
SORT l ALPHA|SORT s ALPHA STORE l|SORT l BY * GET * GET #|COPY k k REPLACE|COPY l l REPLACE|COPY h h REPLACE|COPY z z REPLACE|COPY x x REPLACE
RENAME k k|RENAME k v|LCS k k|BITOP NOT k k|BITOP OR k k k|KEYS *|SCAN 0 COUNT 10000|DBSIZE|FLUSHALL|SWAPDB 0 1|MOVE k 1|EXPIRE k 1|EXPIRE v 1
MULTI|EXEC|EXEC|DISCARD|WATCH k v|UNWATCH|SUBSCRIBE v|PSUBSCRIBE v|UNSUBSCRIBE|PUBLISH m v|PUBSUB CHANNELS|RESET|RESET|RESET|CLIENT LIST
CLIENT SETNAME v|CLIENT SETINFO LIB-NAME v|CONFIG SET v v|CONFIG SET maxmemory 0|CONFIG SET maxmemory-policy allkeys-lru|AUTH v v|HELLO 3 v|HELLO 3
CONFIG SET maxmemory-policy noeviction|INFO|COMMAND GETKEYS MSET k v k v|OBJECT v k|v v|BLPOP l m 1|XREAD STREAMS x v|EXPIRE k 5 v|ECHO v|PING v|V
COMMAND|CLIENT KILL ID 1|CONFIG GET v|EVAL v|XADD x v m v|XREADGROUP GROUP v v STREAMS v >|BITFIELD k SET u8 n n|GETRANGE k 0 -1|SINTERCARD 2 s s";

#[test]
fn whatever_clients_send_a_full_heap_is_an_error() {
    let templates: Vec<&str> = COMMANDS.split(['|', '\n']).collect();
    let seeds = std::env::var("SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(6);
    for seed in 1..=seeds {
        let mut chance = Chance(seed);
        let mut server = Server::new();
        let mut clients: Vec<u64> = (0..4).map(|_| server.connect()).collect();
        // Some seeds prefer small values, so that there are many, and some large ones.
        let largest = [60, 600, 9_000, 100_000, 700_000, 3_000_000][seed as usize % 6];
        for step in 0..30_000 / (1 + largest / 10_000) {
            let template = templates[chance.below(templates.len() as u64) as usize];
            let value = |chance: &mut Chance| {
                let most = [8, 100, 2000, largest][chance.below(4) as usize].min(largest);
                let mut value = vec![b'a' + chance.below(26) as u8; chance.below(most) as usize + 1];
                let number = chance.below(100_000).to_string();
                let length = number.len().min(value.len());
                value[..length].copy_from_slice(&number.as_bytes()[..length]);
                value
            };
            let mut words: Vec<Vec<u8>> = Vec::new();
            for word in template.split(' ') {
                match word {
                    "k" | "l" | "h" | "s" | "z" | "x" => {
                        words.push(
                            format!("{word}{}", chance.below(if word == "k" { 2000 } else { 4 }))
                                .into_bytes(),
                        );
                    }
                    "v" => words.push(value(&mut chance)),
                    "V" => {
                        let most = if chance.below(20) == 0 { 2000 } else { 10 };
                        let many = 2 * (1 + chance.below(most));
                        words.extend((0..many).map(|_| format!("{}", chance.below(100_000)).into_bytes()));
                    }
                    "m" => words.push(format!("m{}", chance.below(200)).into_bytes()),
                    "n" => words.push(chance.below(5000).to_string().into_bytes()),
                    "-n" => words.push(format!("-{}", chance.below(5000)).into_bytes()),
                    _ => words.push(word.as_bytes().to_vec()),
                }
            }
            let bytes = encode(&words);
            let place = chance.below(clients.len() as u64) as usize;
            let client = clients[place];
            if std::env::var_os("TRACE").is_some() {
                let shown: Vec<String> = words
                    .iter()
                    .take(8)
                    .map(|w| format!("{}({})", String::from_utf8_lossy(&w[..w.len().min(12)]), w.len()))
                    .collect();
                eprintln!("{seed} {step} {client} {}", shown.join(" "));
            }
            // As packets bring it: in pieces.
            let mut lives = true;
            for piece in bytes.chunks(32 << 10) {
                lives = lives && server.send(client, piece).is_some();
            }
            if !lives {
                clients[place] = server.connect();
            }
            if step % 50 == 0 {
                let engine = server.engine.as_mut().expect("it runs");
                engine.set_time(1_700_000_000_000_000 + step * 20_000);
                within(|| engine.tick());
            }
        }
    }
}
