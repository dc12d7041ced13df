"""What redis-py makes of the server at argv[1]."""

import sys
import threading
import time

import redis

r = redis.Redis(host=sys.argv[1], decode_responses=True, socket_timeout=10)
assert r.ping()
assert r.info()["redis_mode"] == "standalone"
assert r.set("a", 1, px=60000) and r.get("a") == "1"
assert r.set("a", 2, nx=True) is None and 0 < r.pttl("a") <= 60000
assert r.mset({"b": 2, "c": 3}) and r.mget("b", "c", "d") == ["2", "3", None]
assert r.incrbyfloat("f", 1.5) == 1.5

# Expiry, without anybody asking for the keys.
r.flushall()
for i in range(500):
    r.set(f"short:{i}", i, px=50 + i % 50)
time.sleep(0.4)
assert r.dbsize() == 0, r.dbsize()
assert r.info("stats")["expired_keys"] >= 500

# Transactions.
with r.pipeline() as p:
    p.watch("n")
    r.set("n", 5)
    p.multi()
    p.incr("n")
    try:
        p.execute()
        raise SystemExit("a changed key was not noticed")
    except redis.WatchError:
        pass
assert r.transaction(lambda p: p.incr("n").get("n")) == [6, "6"]

# Publishing.
s = r.pubsub()
s.subscribe("news")
s.psubscribe("n*")
for _ in range(2):
    assert s.get_message(timeout=5)["type"].endswith("subscribe")
assert r.publish("news", "hello") == 2
assert sorted(s.get_message(timeout=5)["type"] for _ in range(2)) == ["message", "pmessage"]
s.close()

# Waiting, in the order of arrival.
got = []


def wait(number):
    c = redis.Redis(host=sys.argv[1], decode_responses=True)
    got.append((number, c.blpop(["queue", "other"], 10)))


threads = []
for number in range(3):
    threads.append(threading.Thread(target=wait, args=(number,)))
    threads[-1].start()
    while r.info("clients")["blocked_clients"] <= number:
        time.sleep(0.01)
for value in "xyz":
    r.rpush("queue", value)
    time.sleep(0.05)
for thread in threads:
    thread.join()
assert got == [(n, ("queue", v)) for n, v in enumerate("xyz")], got
# A key that comes with another type wakes nobody.
thread = threading.Thread(target=wait, args=(3,))
thread.start()
while r.info("clients")["blocked_clients"] == 0:
    time.sleep(0.01)
r.pipeline().rpush("queue", "a").delete("queue").set("queue", "text").execute()
time.sleep(0.1)
assert len(got) == 3, got
r.delete("queue")
r.rpush("queue", "b")
thread.join()
assert got[3] == (3, ("queue", "b")), got
before = time.time()
assert r.blpop("queue", 1) is None and 0.9 < time.time() - before < 3

# Streams with a group.
for i in range(5):
    r.xadd("log", {"i": i})
r.xgroup_create("log", "g", id="0")
first = r.xreadgroup("g", "one", {"log": ">"}, count=3)[0][1]
assert [f["i"] for _, f in first] == ["0", "1", "2"]
assert r.xack("log", "g", first[0][0]) == 1
assert r.xpending("log", "g")["pending"] == 2
assert r.xinfo_groups("log")[0]["lag"] == 2
assert len(r.xautoclaim("log", "g", "two", 0)[1]) == 2
assert len(r.xrange("log")) == 5 and r.xlen("log") == 5

# Walking through many keys.
for i in range(0, 3000, 100):
    r.mset({f"k{j}": j for j in range(i, i + 100)})
assert len(set(r.scan_iter("k*", count=50))) == 3000
r.hset("hash", mapping={f"f{i}": i for i in range(1000)})
assert len(dict(r.hscan_iter("hash", count=20))) == 1000
r.zadd("zset", {f"m{i}": i % 7 for i in range(1000)})
assert len(dict(r.zscan_iter("zset"))) == 1000
assert r.zrevrange("zset", 0, 0, withscores=True) == [("m993", 6.0)]

# A large value, both ways.
large = "0123456789" * 300_000
assert r.set("large", large) and r.get("large") == large
assert r.memory_usage("large") >= len(large)
assert r.client_setname("tester") and r.client_getname() == "tester"
assert any(c["name"] == "tester" for c in r.client_list())
print("done")
