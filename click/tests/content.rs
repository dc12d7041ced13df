//! What looks at packets' bytes and annotations: with packets in memory.

mod common;

use common::*;

/// What leaves device 1 after bytes went into device 0, through a path.
fn through(path: &str, frames: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut b = bench(&format!("FromDevice(0) -> {path} -> Queue -> ToDevice(1)"));
    b.settle();
    frames.iter().flat_map(|f| b.send(0, f.to_vec())).collect()
}

/// Packets behind output 0 and output 1 of an element that gets these.
fn split(element: &str, before: &str, frames: &[&[u8]]) -> (String, String) {
    let mut b = bench(&format!(
        "FromDevice(0) -> {before} -> e :: {element} -> c0 :: Counter -> Discard; e [1] -> c1 :: Counter -> Discard"
    ));
    b.settle();
    frames.iter().for_each(|f| drop(b.send(0, f.to_vec())));
    (b.read("c0.count"), b.read("c1.count"))
}

#[test]
fn lengths_change() {
    let frame: &[u8] = b"abcdefgh";
    for (path, expected) in [
        ("Truncate(3)", &b"abc"[..]),
        ("Pad(10)", b"abcdefgh\0\0"),
        ("Truncate(3) -> Pad", b"abc\0\0\0\0\0"),
        ("Pad(4)", frame),
        ("Resize(-2, 1)", b"cdefgh\0"),
        ("Strip(2) -> Resize(1, -1)", b"bcdefg"),
        ("StoreData(2, XY)", b"abXYefgh"),
        ("StoreData(7, XY)", b"abcdefgX"),
        ("StoreData(7, XY, GROW true)", b"abcdefgXY"),
        ("StoreData(0, \\<ffff>, \\<0f>)", b"o\xffcdefgh"),
        ("SetCRC32 -> CheckCRC32", frame),
    ] {
        assert_eq!(through(path, &[frame]), [expected], "{path}");
    }
    assert_eq!(through("SetCRC32", &[b"123456789"])[0][9..], [0xe7, 0xe6, 0x76, 0x03]);
    assert!(through("CheckCRC32", &[frame, b"abc", b""]).is_empty());
}

#[test]
fn aligned_packets_keep_their_bytes_and_headers() {
    let frame = udp(0, client_ip(1), 9, 64);
    for offset in 0..4 {
        let path = format!("Strip(14) -> CheckIPHeader -> Align(4, {offset}) -> DecIPTTL");
        let out = through(&path, &[&frame]);
        assert_eq!((&out[0][12..], out[0][8]), (&frame[26..], 63));
    }
}

#[test]
fn packets_are_told_apart_by_length_paint_and_annotation() {
    let frames: &[&[u8]] = &[b"a", b"abc", b"abcdef"];
    let two = |a: &str, b: &str| (a.to_string(), b.to_string());
    assert_eq!(split("CheckLength(3)", "Null", frames), two("2", "1"));
    assert_eq!(split("CheckLength(3, EXTRA_LENGTH true)", "Truncate(2)", frames), two("2", "1"));
    assert_eq!(split("CheckPaint(5)", "Paint(5)", frames), two("3", "0"));
    assert_eq!(split("CheckPaint(5, ANNO 3)", "Paint(5)", frames), two("0", "3"));
    assert_eq!(split("PaintTee(5)", "Paint(5)", frames), two("3", "3"));
    assert_eq!(split("CheckAnno(PAINT, 0x15, 0xf)", "SetAnnoByte(PAINT, 0x25)", frames), two("3", "0"));
}

#[test]
fn timestamps_are_set_moved_and_filtered() {
    let printed = |path: &str| {
        let mut b = bench(&format!(
            "InfiniteSource(LIMIT 1) -> {path} -> Print(TIMESTAMP true, CONTENTS NONE) -> Discard"
        ));
        b.settle();
        b.host.printed.split(':').next().unwrap().to_string()
    };
    assert_eq!(printed("SetTimestamp(5.5)"), "5.500000");
    assert_eq!(printed("SetTimestamp(5.5) -> AdjustTimestamp(-0.25)"), "5.250000");
    assert_eq!(printed("SetTimestamp(0.1) -> AdjustTimestamp(-1)"), "-0.900000");
    assert_eq!(printed("SetTimestamp(0.1) -> AdjustTimestamp(-1) -> AdjustTimestamp(+1.5)"), "0.600000");
    assert_eq!(printed("SetTimestamp(0) -> AdjustTimestamp(+1.5)"), "0.000000");
    assert_eq!(printed("SetTimestamp(0) -> AdjustTimestamp(TIME 1.5, ALL true)"), "1.500000");
    assert_eq!(printed("SetTimestamp(5.5) -> SetTimestampDelta"), "0.000000");
    assert_eq!(
        printed("SetTimestamp(2, FIRST true) -> SetTimestamp(5.5) -> SetTimestampDelta(FIRST)"),
        "3.500000"
    );
    assert_eq!(printed("SetTimestamp(0.000000001)"), "0.000000001");
    let text = |filter: &str| {
        format!(
            "InfiniteSource(LIMIT 4) -> SetTimestamp(15) -> e :: TimeFilter({filter}) -> c0 :: Counter -> Discard; e [1] -> c1 :: Counter -> Discard"
        )
    };
    for (filter, expected) in [
        ("START 10, END 20", "4"),
        ("START 16", "0"),
        ("END 15", "0"),
        ("START 10, INTERVAL 6", "4"),
        ("START 10, INTERVAL 5", "0"),
        ("END_AFTER 1", "4"),
        ("START_AFTER 1", "0"),
        ("END_DELAY 1", "4"),
        ("START_DELAY 1", "0"),
        ("10, 20", "4"),
        ("16", "0"),
    ] {
        let mut b = bench(&text(filter));
        b.settle();
        assert_eq!(b.read("c0.count"), expected, "{filter}");
    }
    let mut b = bench(&text("END 15, STOP true"));
    assert_eq!(b.settle(), click::Progress::Stopped);
}

#[test]
fn what_is_printed_shows_one_packet_after_the_other() {
    let mut b = bench("InfiniteSource(DATA x, LIMIT 2) -> Print(a) -> Print(b) -> Discard");
    b.settle();
    assert_eq!(b.host.printed.chars().filter(|c| "ab".contains(*c)).collect::<String>(), "abab");
}

#[test]
fn the_end_of_times_can_be_moved_when_it_comes() {
    // Packets with times from 1 to 6; the filter is extended twice.
    let mut b = bench(
        "InfiniteSource(LIMIT 6) -> p :: RoundRobinSwitch;
        p [0] -> SetTimestamp(1) -> [0] j :: Null; p [1] -> SetTimestamp(2) -> j; p [2] -> SetTimestamp(3) -> j;
        p [3] -> SetTimestamp(4) -> j; p [4] -> SetTimestamp(5) -> j; p [5] -> SetTimestamp(6) -> j;
        j -> t :: TimeFilter(1, 2, END_CALL 's.run $t') -> c0 :: Counter -> Discard; t [1] -> c1 :: Counter -> Discard;
        s :: Script(TYPE PASSIVE, init n 0, set n $(add $n 1), print $1, goto exit $(gt $n 2), write t.extend_interval 1.5)",
    );
    b.settle();
    assert_eq!(b.host.printed, "2.000000\n4.000000\n5.000000\n");
    assert_eq!(["c0.count", "c1.count", "t.end"].map(|h| b.read(h)), ["4", "2", "5"]);
    b.write("t.end", "7");
    b.write("t.start", "0.5");
    assert_eq!(b.read("t.interval"), "6.5");
}

#[test]
fn averages_are_taken_over_all_the_time() {
    let mut b = bench(
        "RatedSource(RATE 50, LENGTH 10) -> c :: AverageCounter -> d :: AverageCounter(IGNORE 2s) -> Discard",
    );
    b.pass(10_000_000_000);
    for handler in ["c.rate", "d.rate"] {
        let rate: f64 = b.read(handler).parse().unwrap();
        assert!((48.0..52.0).contains(&rate), "{handler}: {rate}");
    }
    assert_eq!(
        b.read("c.byte_count").parse::<u64>().unwrap(),
        b.read("c.count").parse::<u64>().unwrap() * 10
    );
}

#[test]
fn aggregates_are_counted_apart() {
    let mut b = bench(
        "FromDevice(0) -> k :: Classifier(0/61, -); k [0] -> Paint(1, AGGREGATE) -> a :: AggregateCounter(BYTES true, FREEZE_AFTER_AGG 2, BANNER sizes) -> Discard; k [1] -> Paint(2, AGGREGATE) -> a; a [1] -> c :: Counter -> Discard",
    );
    b.settle();
    for frame in ["a", "abc", "bcd"] {
        b.send(0, frame.as_bytes().to_vec());
    }
    assert_eq!(
        (b.read("a.counts"), b.read("a.count"), b.read("a.freeze")),
        ("1 4\n2 3\n".into(), "7".into(), "true".into())
    );
    b.write("a.write_ascii_file", "-");
    assert_eq!(b.host.printed, "!IPAggregate 1.0\nsizes\n!num_nonzero 2\n1 4\n2 3\n");
    b.write("a.reaggregate_counts", "");
    assert_eq!(b.read("a.counts"), "3 1\n4 1\n");
    assert!(b.router.write(&mut b.host, "a.write_file", "/tmp/x").is_err());
}

#[test]
fn a_clipboard_carries_bytes() {
    let mut b = bench(
        "FromDevice(0) -> [0] c :: Clipboard(1/2, 3/1); FromDevice(1) -> [1] c; c [0] -> Discard; c [1] -> Queue -> ToDevice(0)",
    );
    b.settle();
    assert_eq!(b.send(1, b"....".to_vec()), [b"....".to_vec()]);
    b.send(0, b"wxyz?".to_vec());
    b.send(0, b"too".to_vec());
    assert_eq!(b.send(1, b".....".to_vec()), [b".xyz.".to_vec()]);
    assert_eq!(b.send(1, b"...".to_vec()), [b"...".to_vec()]);
}

#[test]
fn messages_are_printed_and_errors_keep_the_router_from_starting() {
    assert_eq!(
        bench("Message(hello); Message(\"well, well\", WARN)").host.printed,
        "hello\nwarning: well, well\n"
    );
    let mut host = Memory::new(0);
    let source = click::Source { name: "x", text: "Message(\"not so\", ERROR)" };
    assert!(click::Router::new(&source, &[], &mut host).err().unwrap().to_string().contains("not so"));
}
