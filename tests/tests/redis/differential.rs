//! The same random commands to a native server and to the guest: the replies have to be the same.

use crate::host::{Client, Guest, NATIVE, Native, encode};

/// Commands, with `k` a key, `l` a list, `h` a hash, `s` a set, `z` a sorted set, `y` one whose scores
/// are equal, `q` a key with a fraction, `x` a stream, `n` a small number, `N`
/// any number, `v` a value, `m` a member, `f` a fraction, `i` an index, `I` a stream's id, `?WORD` perhaps a word. Each
/// type has its own keys and, now and then, another's.
const COMMANDS: &str = "
SET k v|SET k N|SET k v NX|SET k v XX|SET k v GET|SET k v KEEPTTL|SET k v EX 1000|SET k v XX GET|SETNX k v|GET k|GETSET k v
GETDEL k|GETEX k|GETEX k PERSIST|APPEND k v|STRLEN k|INCR k|DECR k|INCRBY k N|DECRBY k N|INCRBYFLOAT q f|SET q f|GET q|GETRANGE k i i
SETRANGE k n v|SETRANGE k n m|MGET k k l|MSET k v k N|MSETNX k v k v|SUBSTR k i i|SETEX k 100 v|PSETEX k 100000 v|LCS k k|LCS k k LEN
LCS k k IDX|LCS k k IDX MINMATCHLEN n WITHMATCHLEN
SETBIT k n 1|SETBIT k n 0|GETBIT k n|BITCOUNT k|BITCOUNT k i i|BITCOUNT k i i BIT|BITPOS k 1|BITPOS k 0|BITPOS k 1 i|BITPOS k 0 i i
BITPOS k 1 i i BIT|BITOP AND k k k|BITOP OR k k k|BITOP XOR k k k|BITOP NOT k k|BITFIELD k GET u8 n SET i5 n N INCRBY u4 #n n
BITFIELD k OVERFLOW SAT INCRBY i8 n N OVERFLOW FAIL INCRBY u3 n n SET u8 n N|BITFIELD_RO k GET i16 n
LPUSH l v|RPUSH l v|LPUSH l m m m|RPUSH l m N m|LPUSHX l v|RPUSHX l v|LPOP l|RPOP l|LPOP l n|RPOP l n|LLEN l|LINDEX l i|LSET l i v
LINSERT l BEFORE m v|LINSERT l AFTER m v|LRANGE l i i|LRANGE l 0 -1|LTRIM l i i|LREM l i m|LPOS l m|LPOS l m RANK i|LPOS l m COUNT n
LPOS l m RANK i COUNT n MAXLEN n|RPOPLPUSH l l|LMOVE l l LEFT RIGHT|LMOVE l l RIGHT RIGHT|LMPOP 2 l l LEFT COUNT n|LMPOP 1 l RIGHT
BLPOP l l 0.001|BRPOP l 0.001|BLMOVE l l LEFT LEFT 0.001|BRPOPLPUSH l l 0.001|BLMPOP 0.001 1 l LEFT
HSET h m v|HSET h m v m N|HSETNX h m v|HMSET h m v m v|HGET h m|HMGET h m m m|HDEL h m|HDEL h m m|HEXISTS h m|HLEN h|HSTRLEN h m
HGETALL h|HKEYS h|HVALS h|HINCRBY h m N|HINCRBYFLOAT h p f|HSCAN h 0 COUNT 1000|HRANDFIELD h 0
SADD s m|SADD s m m N|SREM s m|SREM s m m|SCARD s|SISMEMBER s m|SMISMEMBER s m m m|SMEMBERS s|SMOVE s s m|SUNION s s|SINTER s s|SDIFF s s
SUNIONSTORE s s s|SINTERSTORE s s s|SDIFFSTORE s s s|SINTERCARD 2 s s|SINTERCARD 2 s s LIMIT n|SSCAN s 0 COUNT 1000|SPOP s 1000
SRANDMEMBER s 1000|SRANDMEMBER s 0
ZADD z f m|ZADD z f m f m f m|ZADD z NX f m|ZADD z XX CH f m|ZADD z GT CH f m|ZADD z LT f m|ZADD z INCR f m|ZINCRBY z f m|ZREM z m m|ZCARD z
ZSCORE z m|ZMSCORE z m m|ZRANK z m|ZREVRANK z m|ZRANGE z i i|ZRANGE z i i WITHSCORES|ZRANGE z 0 -1 REV|ZRANGE z f f BYSCORE LIMIT n n
ZRANGE z f f BYSCORE REV|ZRANGE y - + BYLEX|ZRANGE y [m (m BYLEX|ZRANGEBYSCORE z f f|ZRANGEBYSCORE z (f +inf WITHSCORES LIMIT n i
ZREVRANGEBYSCORE z f f WITHSCORES|ZREVRANGE z i i WITHSCORES|ZADD y 0 m 0 m|ZRANGEBYLEX y [m [m|ZREVRANGEBYLEX y + (m|ZCOUNT z f f|ZLEXCOUNT y [m +
ZREMRANGEBYRANK z i i|ZREMRANGEBYSCORE z f (f|ZREMRANGEBYLEX y [m [m|ZPOPMIN z|ZPOPMAX z|ZPOPMIN z n|ZPOPMAX z n|ZMPOP 1 z MIN COUNT n
BZPOPMIN z z 0.001|BZPOPMAX z 0.001|BZMPOP 0.001 1 z MAX|ZUNION 2 z z WITHSCORES|ZINTER 2 z z WITHSCORES|ZDIFF 2 z z WITHSCORES
ZUNIONSTORE z 2 z z WEIGHTS f f|ZUNIONSTORE z 2 z s AGGREGATE MAX|ZINTERSTORE z 2 z z AGGREGATE MIN|ZDIFFSTORE z 2 z z|ZINTERCARD 2 z z
ZRANGESTORE z z i i|ZSCAN z 0 COUNT 1000|SINTERCARD x s|ZMPOP x z MIN|LMPOP x l LEFT
XADD x I m v|XADD x I m v m v|XADD x MAXLEN n I m v|XADD x NOMKSTREAM I m v|XLEN x|XRANGE x - +|XRANGE x I I|XRANGE x (I + COUNT n
XREVRANGE x + - COUNT n|XREVRANGE x I I|XDEL x I I|XTRIM x MAXLEN n|XTRIM x MINID I|XREAD COUNT n STREAMS x x I I|XREAD STREAMS x $
XGROUP CREATE x g I MKSTREAM|XGROUP CREATE x g $|XGROUP DESTROY x g|XREADGROUP GROUP g c COUNT n STREAMS x >|XREADGROUP GROUP g c STREAMS x I
XACK x g I I|XPENDING x g|XGROUP CREATECONSUMER x g c|XGROUP DELCONSUMER x g c|XCLAIM x g d 0 I|XAUTOCLAIM x g d 0 I|XSETID x I
DEL k|DEL k l h|UNLINK s z|EXISTS k k l|TYPE k|TYPE l|TYPE z|TYPE x|RENAME k k|RENAMENX k k|COPY k k|COPY l l REPLACE|COPY z z REPLACE|COPY h h|TOUCH k s
EXPIRE k 1000|EXPIRE k 1000 NX|EXPIRE k 2000 GT|EXPIRE k 500 LT|EXPIRE l 1000 XX|EXPIRE s -1|PEXPIRE k 100000|EXPIREAT k 4102444800|TTL k
PERSIST k|EXPIRETIME k|TTL z|PERSIST l|DBSIZE|KEYS *|KEYS ?1|KEYS [kl]*|SCAN 0 COUNT 1000|SCAN 0 MATCH k* COUNT 1000|SCAN 0 TYPE list COUNT 1000
SORT l|SORT l ALPHA|SORT s ALPHA DESC LIMIT n n|SORT z ALPHA GET # GET k*|SORT l BY nosort|SORT s ALPHA STORE l|SORT_RO l ALPHA|MOVE k 1|SWAPDB 0 1
SELECT 0|SELECT 1|SELECT 16|FLUSHDB|ECHO v|PING v|PING|OBJECT REFCOUNT nokey|MULTI|EXEC|EXEC|DISCARD|WATCH k|UNWATCH|NOTHING a b|GET|SET k
SET k v EX|SET k v EX 0|SET k v FOO|LPOP l -1|ZADD z NX GT f m|ZADD z f|INCRBY k x|EXPIRE k x|SETBIT k n 2|LSET nokey 0 v|XADD x 0-0 m v|HSET h m
SCAN x|SCAN 0 COUNT 0|LINSERT l NEAR m v|ZRANGE z x 1|ZRANGEBYLEX z m m|ZUNION 0 z|SINTERCARD 0 s|BLPOP l x|BLPOP l -1|COPY k k DB 99|SORT l BY nosort DESC LIMIT n n|SORT z BY nosort DESC|EXEC x|XINFO GROUPS x|ZADD z 1e400 m|ZADD z 0x1p3 m|ZCOUNT z 1e400 inf|GETEX k EX 0
CONFIG GET nosuchthing|CLIENT GETNAME|CLIENT SETNAME m|COMMAND GETKEYS MSET k v k v|OBJECT ENCODING nokey|PUBLISH m v|SETRANGE k -1 v|TIME x
XGROUP NOSUCH x|OBJECT NOSUCH k|CONFIG NOSUCH x|XREAD STREAMS x|XPENDING x nogroup|RENAME nokey k|DECRBY k -9223372036854775808
";

/// Replies that have no order.
const UNORDERED: [&str; 15] = [
    "SMEMBERS",
    "SUNION",
    "SINTER",
    "SDIFF",
    "HGETALL",
    "HKEYS",
    "HVALS",
    "KEYS",
    "SCAN",
    "SSCAN",
    "HSCAN",
    "SPOP",
    "SRANDMEMBER",
    "EXEC",
    "ZSCAN",
];

/// Random numbers (xorshift64*).
pub struct Chance(pub u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }

    fn word(&mut self, word: &str) -> String {
        // Now and then a key of another type.
        let kind = |c: &mut Self, own: char| {
            if c.below(40) == 0 { b"klhszx"[c.below(6) as usize].into() } else { own }
        };
        let number = [0, 1, -1, 7, 100, -3, 1 << 40, i64::MAX, i64::MIN];
        match word {
            "q" | "y" => format!("{word}{}", self.below(4)),
            "k" | "l" | "h" | "s" | "z" | "x" => {
                let own = word.chars().next().expect("a letter");
                format!("{}{}", kind(self, own), self.below(4))
            }
            "k*" => "k*".to_owned(),
            "p" => format!("p{}", self.below(3)),
            "n" => self.below(12).to_string(),
            "#n" => format!("#{}", self.below(12)),
            "N" => number[self.below(9) as usize].to_string(),
            "i" => (self.below(14) as i64 - 6).to_string(),
            "f" => ["0", "1", "-1.5", "2.5", "10", "1024", "-3", "0.25"][self.below(8) as usize].to_owned(),
            "(f" => format!("({}", self.word("f")),
            "v" => match self.below(6) {
                0 => "x".repeat(self.below(300) as usize + 1),
                1 => self.word("N"),
                _ => format!("v{}", self.below(50)),
            },
            "m" => {
                let many = if self.below(10) == 0 { 400 } else { 8 };
                format!("m{}", self.below(many))
            }
            "[m" | "(m" => format!("{}m{}", &word[..1], self.below(8)),
            "I" => match self.below(3) {
                0 => self.below(30).to_string(),
                _ => format!("{}-{}", self.below(30), self.below(3)),
            },
            "(I" => format!("({}", self.below(30)),
            other => other.to_owned(),
        }
    }
}

/// A reply with what has no order sorted, and without what depends on the moment.
fn normal(command: &str, reply: String) -> String {
    if ["TTL", "EXPIRETIME"].contains(&command) && reply.starts_with([':', '+']) && reply.len() > 2 {
        // A second may have begun in between.
        return "some".to_owned();
    }
    if !UNORDERED.contains(&command) {
        return reply;
    }
    let mut words: Vec<&str> = reply.split(['[', ']', ' ']).collect();
    words.sort_unstable();
    words.join(" ")
}

/// Sends the same to both, `count` commands from a seed on; how many batches had a difference.
pub fn compare(native: &mut Client, guest: &mut Client, seed: u64, count: usize) -> usize {
    let templates: Vec<&str> = COMMANDS.split(['|', '\n']).filter(|line| !line.is_empty()).collect();
    let mut chance = Chance(seed);
    let mut sent: Vec<Vec<String>> = Vec::new();
    let mut differences = 0;
    while sent.len() < count {
        let batch: Vec<Vec<String>> = (0..100)
            .map(|_| {
                let template = templates[chance.below(templates.len() as u64) as usize];
                template.split(' ').map(|word| chance.word(word)).collect()
            })
            .collect();
        let bytes: Vec<u8> = batch.iter().flat_map(|words| encode(words)).collect();
        native.send(&bytes);
        guest.send(&bytes);
        let mut same = true;
        for words in batch {
            let (a, b) = (normal(&words[0], native.reply()), normal(&words[0], guest.reply()));
            if a != b && same {
                same = false;
                differences += 1;
                eprintln!("after {} commands: {words:?}\n  native {a}\n  guest  {b}", sent.len());
            }
            sent.push(words);
        }
        // What follows a difference would differ for that reason alone.
        if !same {
            start_over(native, guest);
        }
    }
    differences
}

fn start_over(native: &mut Client, guest: &mut Client) {
    for client in [native, guest] {
        client.ask("RESET");
        client.ask("FLUSHALL");
    }
}

#[test]
fn the_guest_answers_as_redis_does() {
    let guest = Guest::start(&[]);
    let _native = Native::start(&guest.namespace);
    let (mut a, mut b) = (Client::open(&guest.namespace, NATIVE), guest.connect());
    let mut differences = 0;
    for seed in 1..=6 {
        start_over(&mut a, &mut b);
        differences += compare(&mut a, &mut b, seed, 2000);
    }
    assert_eq!(differences, 0, "replies differ");
    guest.stop();
}
