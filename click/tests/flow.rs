//! What holds packets, chooses where they go, and when: with packets counted behind each output.

mod common;

use common::*;

const SECOND: u64 = 1_000_000_000;

/// Packets that reached each counter `c0`, `c1`, ... after some time.
fn counts(text: &str, nanos: u64, n: usize) -> Vec<u64> {
    let mut b = bench(text);
    b.pass(nanos);
    (0..n).map(|i| b.read(&format!("c{i}.count")).parse().unwrap()).collect()
}

/// Frames that leave device 1, one line each as text, after what `text` did with those sent into device 0.
fn order(text: &str, frames: &[&str]) -> Vec<String> {
    ordered(text, frames).0
}

/// The same, and what was printed meanwhile.
fn ordered(text: &str, frames: &[&str]) -> (Vec<String>, String) {
    let mut b = bench(text);
    b.settle();
    let mut out = Vec::new();
    for frame in frames {
        out.extend(b.send(0, frame.as_bytes().to_vec()));
    }
    b.pass(SECOND);
    out.extend(b.sent());
    (out.into_iter().map(|f| String::from_utf8(f).unwrap()).collect(), b.host.printed)
}

#[test]
fn a_full_queue_that_drops_in_front_keeps_the_newest() {
    let text = "FromDevice(0) -> q :: FrontDropQueue(2) -> s :: PullSwitch(-1) -> ToDevice(1); Script(wait 0.5s, write s.switch 0)";
    assert_eq!(order(text, &["a", "b", "c"]), ["b", "c"]);
}

#[test]
fn a_mixed_queue_gives_the_last_first() {
    let text = "FromDevice(0) -> k :: Classifier(0/61, -); k [0] -> [0] q :: MixedQueue(3); k [1] -> [1] q;
        q -> s :: PullSwitch(-1) -> ToDevice(1); Script(wait 0.5s, write s.switch 0)";
    assert_eq!(order(text, &["a1", "b", "a2", "c", "a3"]), ["c", "b", "a1"]);
}

#[test]
fn rated_elements_keep_their_rate() {
    let text = "InfiniteSource(LIMIT 3000) -> Queue(3000) -> RatedUnqueue(100) -> c0 :: Counter -> Discard;
        InfiniteSource(LIMIT 3000, LENGTH 100) -> Queue(3000) -> BandwidthRatedUnqueue(10kBps) -> c1 :: Counter -> Discard;
        RatedSource(RATE 1000) -> r :: RatedSplitter(300) -> c2 :: Counter -> Discard; r [1] -> c3 :: Counter -> Discard;
        RatedSource(RATE 1000, LENGTH 100) -> b :: BandwidthRatedSplitter(20kBps) -> c4 :: Counter -> Discard; b [1] -> Discard;";
    let n = counts(text, 5 * SECOND, 5);
    let about = |n: u64, wanted: u64| n.abs_diff(wanted) * 20 <= wanted;
    assert!(about(n[0], 500) && about(n[1], 500) && about(n[2], 1500) && about(n[2] + n[3], 5000), "{n:?}");
    assert!(about(n[4], 1000), "{n:?}");
}

#[test]
fn delays_let_packets_pass_in_time() {
    let text = "RatedSource(RATE 10) -> Queue -> DelayShaper(1s) -> Unqueue -> c0 :: Counter -> Discard;
        RatedSource(RATE 10) -> Queue -> DelayUnqueue(2s) -> c1 :: Counter -> Discard;
        InfiniteSource(LIMIT 100, LENGTH 100) -> Queue -> LinkUnqueue(1s, 1kBps) -> c2 :: Counter -> Discard;
        InfiniteSource(LIMIT 100) -> Queue -> Burster(0.5s, 3) -> c3 :: Counter -> Discard;
        InfiniteSource(LIMIT 100) -> q :: Queue -> TimedSink(0.5s);";
    let n = counts(text, 4 * SECOND + SECOND / 20, 4);
    assert!((30..=32).contains(&n[0]) && (20..=22).contains(&n[1]), "{n:?}");
    assert!((29..=31).contains(&n[2]) && n[3] == 24, "{n:?}");
}

#[test]
fn switches_choose_inputs_and_outputs() {
    let source = "InfiniteSource(LIMIT 12)";
    let text = format!(
        "{source} -> rr :: RoundRobinSwitch -> c0 :: Counter -> Discard; rr [1] -> c1 :: Counter -> Discard;
        {source} -> [0] is :: InputSwitch(1) -> c2 :: Counter -> Discard; InfiniteSource(LIMIT 5) -> [1] is;
        {source} -> ss :: StaticSwitch(1); ss [0] -> Discard; ss [1] -> c3 :: Counter -> Discard;
        {source} -> Queue -> [0] ps :: StaticPullSwitch(1) -> c4 :: Counter -> Discard; InfiniteSource(LIMIT 7) -> Queue -> [1] ps;
        RandomSource(40, LIMIT 4000) -> rs :: RandomSwitch -> c5 :: Counter -> Discard; rs [1] -> hs :: HashSwitch(3, 4) -> c6 :: Counter -> Discard; hs [1] -> Discard;"
    );
    let n = counts(&text, 0, 7);
    assert_eq!(n[..5], [6, 6, 5, 12, 7]);
    assert!((1800..2200).contains(&n[5]) && (800..1200).contains(&n[6]), "{n:?}");
}

#[test]
fn equal_bytes_take_the_same_way() {
    let mut b = bench(
        "FromDevice(0) -> h :: HashSwitch(0, 2) -> Queue -> ToDevice(0); h [1] -> Queue -> ToDevice(1)",
    );
    b.settle();
    let way = |b: &mut Bench, frame: [u8; 3]| {
        b.host.devices[0].incoming.push_back(frame.to_vec());
        b.settle();
        b.host.devices.iter_mut().position(|d| !std::mem::take(&mut d.sent).is_empty())
    };
    assert!((0..50).all(|n| way(&mut b, [n, 1, 2]) == way(&mut b, [n, 1, 3])));
}

#[test]
fn hubs_tees_and_bypasses_copy_and_lead() {
    let text = "InfiniteSource(LIMIT 3) -> [0] h :: Hub; InfiniteSource(LIMIT 4) -> [1] h; Idle -> [2] h; h [0] -> c0 :: Counter -> Discard; h [1] -> c1 :: Counter -> Discard; h [2] -> c2 :: Counter -> Discard;
        InfiniteSource(LIMIT 5) -> Queue -> t :: PullTee(2) -> c3 :: Counter -> Discard; t [1] -> c4 :: Counter -> Discard;
        InfiniteSource(LIMIT 6) -> b :: Bypass -> c5 :: Counter -> Discard; b [1] -> c6 :: Counter -> [1] b;
        InfiniteSource(LIMIT 6) -> b2 :: Bypass(ACTIVE true) -> c7 :: Counter -> Discard; b2 [1] -> c8 :: Counter -> [1] b2;";
    assert_eq!(counts(text, 0, 9), [4, 3, 7, 5, 5, 6, 0, 6, 6]);
    // Pulled, through what leads back to it too.
    let text = "s :: InfiniteSource(LIMIT 6) -> Queue -> b :: Bypass -> c0 :: Counter -> Discard;
        b [1] -> c1 :: Counter -> Null -> [1] b; Script(wait 1s, write b.active true, write s.reset, wait 1s)";
    assert_eq!(counts(text, 3 * SECOND, 2), [12, 6]);
}

#[test]
fn shapers_and_splitters_give_what_is_beyond_to_their_second_output() {
    let text = "s :: InfiniteSource(LIMIT 100) -> h :: Shaper(500) -> c0 :: Counter -> r :: RoundRobinSched -> c1 :: Counter
            -> TimedSink(1ms); h [1] -> [1] r;
        RatedSource(RATE 1000, LENGTH 100) -> RatedSplitter(100, BURST_SIZE 5) -> c2 :: Counter -> Discard;
        RatedSource(RATE 1000, LENGTH 100) -> BandwidthRatedSplitter(10kBps, BURST_DURATION 1s) -> c3 :: Counter -> Discard;";
    let n = counts(text, SECOND, 4);
    assert!((49..=61).contains(&n[0]) && n[1] == 100, "{n:?}");
    assert!((103..=106).contains(&n[2]) && (198..=202).contains(&n[3]), "{n:?}");
}

#[test]
fn strides_begin_with_who_has_most_tickets() {
    let source = |i: u32| format!("InfiniteSource(DATA \\<0{i}>, LIMIT 7) -> Queue -> [{}] s;", i - 1);
    let text = format!(
        "s :: StrideSched(4, 2, 1) -> Print(CONTENTS HEX) -> Discard; {}{}{}",
        source(1),
        source(2),
        source(3)
    );
    let mut b = bench(&text);
    b.settle();
    let order: String = b.host.printed.lines().filter_map(|l| l.chars().last()).collect();
    assert!(order.starts_with("11211231121"), "{order}");
}

#[test]
fn a_link_stamps_packets_with_their_arrival() {
    let text =
        "InfiniteSource(LIMIT 2, LENGTH 1000) -> Queue -> LinkUnqueue(5ms, 100kBps) -> SetTimestampDelta
        -> Print(TIMESTAMP true, CONTENTS NONE) -> Discard";
    let mut b = bench(text);
    b.pass(SECOND);
    assert!(b.host.printed.lines().nth(1).unwrap().starts_with("0.01000"), "{}", b.host.printed);
}

#[test]
fn calls_come_before_the_packet_that_is_counted_goes_on() {
    let text = "InfiniteSource(LIMIT 4) -> k :: Counter(COUNT_CALL 3 w.switch 1) -> w :: Switch -> c0 :: Counter -> Discard;
        w [1] -> c1 :: Counter -> Discard;
        InfiniteSource(LIMIT 9) -> SimpleQueue -> v :: PullSwitch -> Counter(COUNT_CALL 2 v.switch -1) -> c2 :: Counter -> Discard;
        e :: InfiniteSource(LIMIT 2, END_CALL again.run) -> c3 :: Counter(COUNT_CALL 2 c3.reset) -> Discard;
        again :: Script(TYPE PASSIVE, write e.length 9, print $(e.length))";
    let mut b = bench(text);
    b.settle();
    assert_eq!(["c0.count", "c1.count", "c2.count", "c3.count"].map(|h| b.read(h)), ["2", "2", "2", "0"]);
    assert_eq!(b.host.printed, "9\n");
}

#[test]
fn tasks_say_whether_they_are_scheduled() {
    let mut b = bench("s :: InfiniteSource(ACTIVE false) -> d :: Discard");
    b.settle();
    assert_eq!(
        ["s.scheduled", "s.tickets", "s.home_thread", "d.scheduled"].map(|h| b.read(h)),
        ["false", "1024", "0", "false"]
    );
    b.write("s.tickets", "10");
    assert_eq!(b.read("s.tickets"), "10");
    assert!(b.read("s.handlers").contains("tickets\trw") && !b.read("d.handlers").contains("tickets"));
}

#[test]
fn a_suppressor_closes_inputs() {
    let mut b = bench(
        "s :: InfiniteSource(LIMIT 3) -> [0] p :: Suppressor; t :: InfiniteSource(LIMIT 4) -> [1] p; p [0] -> c0 :: Counter -> Discard; p [1] -> c1 :: Counter -> Discard",
    );
    b.write("p.active0", "false");
    b.settle();
    assert_eq!(
        (b.read("c0.count"), b.read("c1.count"), b.read("p.active0")),
        ("0".into(), "4".into(), "false".into())
    );
    b.write("p.reset", "");
    b.write("s.reset", "");
    b.settle();
    assert_eq!(b.read("c0.count"), "3");
}

#[test]
fn schedulers_share_by_tickets_bytes_and_time() {
    let sources = "InfiniteSource(LIMIT 900, LENGTH 100) -> Queue -> x :: Counter -> [0] s; InfiniteSource(LIMIT 900, LENGTH 400) -> Queue -> y :: Counter -> [1] s; s -> Shaper(100) -> Discard;";
    let after = |class: &str| {
        let mut b = bench(&format!("s :: {class}; {sources}"));
        b.pass(5 * SECOND);
        (b.read("x.count").parse::<i32>().unwrap(), b.read("y.count").parse::<i32>().unwrap())
    };
    let (x, y) = after("StrideSched(1, 3)");
    assert!((x * 3 - y).abs() <= 6, "{x} {y}");
    let (x, y) = after("DRRSched(400)");
    assert!((x - y * 4).abs() <= 10, "{x} {y}");
    let text = "FromDevice(0) -> k :: Classifier(0/61, -); k [0] -> SetTimestamp(20) -> Queue -> [0] s :: TimeSortedSched; k [1] -> SetTimestamp(10) -> Queue -> [1] s;
        s -> p :: PullSwitch(-1) -> ToDevice(1); Script(wait 0.5s, write p.switch 0)";
    assert_eq!(order(text, &["a", "b", "a", "b"]), ["b", "b", "a", "a"]);
}

#[test]
fn red_drops_more_the_longer_its_queue_is() {
    let dropped = |held: u32| {
        let mut b = bench(&format!(
            "s :: InfiniteSource(LIMIT {held}) -> q :: Queue(1000); q -> Unqueue(ACTIVE false) -> Discard;
            InfiniteSource(LIMIT 2000) -> r :: RED(10, 100, 0.1, STABILITY 2) -> sw :: Switch(1); sw [0] -> q; sw [1] -> Discard; r [1] -> c :: Counter -> Discard"
        ));
        b.settle();
        assert_eq!(b.read("r.queues"), "q\n");
        b.read("c.count").parse::<u32>().unwrap()
    };
    // Both sources begin at once: the queue is filled while the first packets pass.
    let (few, some, many) = (dropped(5), dropped(55), dropped(200));
    assert!(few == 0 && (60..140).contains(&some) && many > 1800, "{few} {some} {many}");
}

#[test]
fn blocks_split_by_rate() {
    let text = "InfiniteSource(LIMIT 10) -> SetAnnoByte(20, 200) -> b :: Block(100) -> c0 :: Counter -> Discard; b [1] -> c1 :: Counter -> Discard;
        InfiniteSource(LIMIT 10) -> SetAnnoByte(20, 200) -> a :: Block(0) -> c2 :: Counter -> Discard; a [1] -> Discard";
    assert_eq!(counts(text, 0, 3), [0, 10, 10]);
}

#[test]
fn packets_that_wait_outlive_a_configuration() {
    for path in [
        "DelayUnqueue(3s)",
        "LinkUnqueue(3s, 1MBps)",
        "DelayShaper(3s) -> Unqueue",
        "s :: DRRSched(1) -> Shaper(1) -> Unqueue",
    ] {
        let text = |source: &str| {
            format!(
                "{source} -> q :: Queue -> {} -> c :: Counter -> Discard",
                path.replacen("Un", "u :: Un", usize::from(path.starts_with("Un")))
            )
        };
        let named = |source: &str| {
            text(source).replace("-> Delay", "-> w :: Delay").replace("-> Link", "-> w :: Link")
        };
        let mut old = bench(&named("InfiniteSource(LIMIT 3)"));
        old.settle();
        let mut new = bench(&named("Idle"));
        new.host.clock = old.host.clock;
        new.router.take_over(old.router);
        new.pass(10 * SECOND);
        assert_eq!(new.read("c.count"), "3", "{path}");
    }
}

#[test]
fn a_queue_with_full_notes_loses_nothing_of_those_who_wait() {
    let text = "InfiniteSource(LIMIT 5000) -> c0 :: Counter -> q :: FullNoteQueue(20) -> Unqueue(5) -> Null -> p :: FullNoteQueue(10) -> Shaper(1000) -> c1 :: Counter -> Discard";
    let mut b = bench(text);
    b.settle();
    assert_eq!(["q.length", "p.length"].map(|h| b.read(h)), ["20", "10"]);
    b.pass(10 * SECOND);
    assert_eq!(["c0.count", "c1.count", "q.drops", "p.drops"].map(|h| b.read(h)), ["5000", "5000", "0", "0"]);
    // Where packets have two ways, they are dropped.
    let mut b = bench(
        "InfiniteSource(LIMIT 100) -> Tee -> q :: FullNoteQueue(20) -> Unqueue(ACTIVE false) -> Discard; InfiniteSource(LIMIT 100) -> r :: RoundRobinSwitch -> q; r [1] -> q",
    );
    b.settle();
    assert_eq!(b.read("q.length"), "20");
}

#[test]
fn a_large_burst_that_is_taken_apart_is_no_loop() {
    let text = "InfiniteSource(LIMIT 60000, BURST 60000) -> c0 :: Counter(COUNT_CALL 3 d.reset_counts) -> c1 :: Counter -> d :: Discard";
    assert_eq!(counts(text, 0, 2), [60_000, 60_000]);
}

#[test]
fn packets_a_little_out_of_order_are_put_in_order() {
    let sorted = |arguments: &str| {
        let order = |a: u32, b: u32| format!("SetTimestamp({a}) -> Queue -> [{b}] s");
        let text = format!(
            "FromDevice(0) -> k :: Classifier(0/61, 0/62, -); k [0] -> {}; k [1] -> u :: SetTimestamp(20) -> q :: Queue -> [1] s;
            k [2] -> SetTimestamp(10) -> q; s :: TimeSortedSched({arguments}) -> p :: PullSwitch(-1) -> ToDevice(1);
            Script(wait 0.5s, write p.switch 0, wait 0.1s, print s.well_ordered)",
            order(15, 0)
        );
        let (frames, printed) = ordered(&text, &["a", "b", "c", "b"]);
        (frames.concat(), printed)
    };
    assert_eq!(sorted(""), ("abcb".to_string(), "false\n".to_string()));
    assert_eq!(sorted("BUFFER 2"), ("cabb".to_string(), "true\n".to_string()));
}
