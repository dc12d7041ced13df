//! One router on several threads: nothing is lost, packets of a source stay in order, and handlers reach every thread.

mod common;

use common::{Control, Running, click, free_port, run};
use std::time::Duration;

/// A router that prints what a script says, on so many threads.
fn on(threads: usize, configuration: &str) -> (i32, String, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, configuration).unwrap();
    let (threads, path) = (threads.to_string(), file.path().to_str().unwrap());
    let running = Running::start(click(&["-j", &threads, path]));
    running.end()
}

#[test]
fn what_one_thread_queues_another_takes_out() {
    let (status, out, err) = on(
        2,
        "s :: InfiniteSource(LIMIT 100000) -> q :: Queue(200000) -> u :: Unqueue -> c :: Counter -> Discard;
         StaticThreadSched(s 0, u 1);
         DriverManager(label x, wait 0.01, goto x $(lt $(c.count) 100000),
            print $(s.home_thread) $(q.home_thread) $(u.home_thread) $(c.home_thread) $(c.count) $(q.drops), stop)",
    );
    assert_eq!((status, out.trim(), err.trim()), (0, "0 1 1 1 100000 0", ""));
}

#[test]
fn sources_take_turns_and_what_both_push_into_loses_nothing() {
    for threads in [2, 3, 8] {
        let (status, out, err) = on(
            threads,
            "a :: InfiniteSource(LIMIT 300000) -> n1 :: Null -> c :: Counter -> d :: Discard;
             b :: InfiniteSource(LIMIT 300000) -> n2 :: Null -> c;
             DriverManager(label x, wait 0.01, goto x $(lt $(c.count) 600000),
                print $(a.home_thread) $(n1.home_thread) $(b.home_thread) $(n2.home_thread) $(c.home_thread) $(c.count), stop)",
        );
        assert_eq!((status, out.trim(), err.trim()), (0, "0 0 1 1 0 600000", ""), "{threads} threads");
    }
}

#[test]
fn packets_of_a_source_stay_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("in.dump"), folder.path().join("out.dump"));
    let lines: String = (0..50_000).map(|i| format!("{}\n", i % 65_536)).collect();
    std::fs::write(&from, format!("!IPSummaryDump 1.3\n!data ip_id\n{lines}")).unwrap();
    let (status, _, err) = on(
        3,
        &format!(
            "f :: FromIPSummaryDump({}) -> c :: Counter -> q :: Queue(100000) -> u :: Unqueue -> d :: Counter
                -> ToIPSummaryDump({}, FIELDS ip_id);
             StaticThreadSched(f 1, u 2);
             DriverManager(label x, wait 0.01, goto x $(lt $(d.count) 50000), stop)",
            from.display(),
            to.display()
        ),
    );
    assert_eq!((status, err.trim()), (0, ""));
    let written = std::fs::read_to_string(&to).unwrap();
    let data: String = written.lines().filter(|l| !l.starts_with('!')).map(|l| format!("{l}\n")).collect();
    assert!(data == lines, "{} lines of {}", data.lines().count(), lines.lines().count());
}

#[test]
fn handlers_are_read_and_written_across_threads_while_packets_move() {
    let port = free_port();
    let configuration = "s :: InfiniteSource -> c :: Counter -> sw :: Switch(0) -> q :: Queue -> u :: Unqueue -> d :: Counter -> Discard;
        sw [1] -> e :: Counter -> Discard;
        t :: RatedSource(RATE 1000) -> f :: Counter -> Discard; StaticThreadSched(s 1, u 2, t 3)";
    let running = Running::start(click(&["-j", "4", "-p", &port.to_string(), "-e", configuration]));
    let mut control = Control::connect(port);
    let mut last = 0;
    for _ in 0..100 {
        let count: u64 = control.read("d.count").parse().unwrap();
        assert!(count >= last);
        last = count;
    }
    common::until(|| control.read("d.count").parse::<u64>().unwrap() > last);
    assert_eq!(control.read("e.count"), "0");
    assert_eq!(control.ask("WRITE sw.switch 1\r\n"), "200 Write handler 'sw.switch' OK");
    common::until(|| control.read("e.count") != "0");
    assert_eq!(control.ask("WRITE c.reset\r\n"), "200 Write handler 'c.reset' OK");
    assert_eq!(control.ask("READ c.nothing\r\n"), "511 No handler named 'c.nothing'");
    assert_eq!(control.read("f.home_thread"), "3");
    assert_eq!(control.ask("WRITE profiling true\r\n"), "200 Write handler 'profiling' OK");
    std::thread::sleep(Duration::from_millis(100));
    let profile = control.read("profile");
    let counted = |name: &str| {
        let line = profile.lines().find(|l| l.split_whitespace().next() == Some(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    assert!(counted("c") > 0 && counted("e") > 0 && counted("f") > 0, "{profile}");
    running.signal("INT");
    assert_eq!(running.end().0, 0);
}

#[test]
fn another_configuration_takes_over_on_all_threads() {
    let port = free_port();
    let text = |extra: &str| {
        format!(
            "s :: InfiniteSource(LIMIT 5000) -> q :: Queue(10000) -> u :: Unqueue({extra}) -> c :: Counter -> Discard;
             StaticThreadSched(s 1, u 2)"
        )
    };
    let running =
        Running::start(click(&["-R", "-j", "3", "-p", &port.to_string(), "-e", &text("ACTIVE false")]));
    let mut control = Control::connect(port);
    common::until(|| control.read("q.length") == "5000");
    let next = text("ACTIVE true").replace("LIMIT 5000", "LIMIT 0");
    let answer = control.ask(&format!("WRITEDATA hotconfig {}\r\n{next}", next.len()));
    assert_eq!(answer, "200 Write handler 'hotconfig' OK");
    common::until(|| control.read("c.count") == "5000");
    assert_eq!(control.ask("WRITE stop\r\n"), "200 Write handler 'stop' OK");
    assert_eq!(running.end(), (0, "".into(), "".into()));
}

#[test]
fn a_script_waits_as_long_as_it_says() {
    for _ in 0..20 {
        let began = std::time::Instant::now();
        let (status, _, err) = on(
            2,
            "s :: RatedSource -> q :: Queue -> u :: Unqueue -> Discard; StaticThreadSched(s 0, u 1);
             DriverManager(wait 0.1, stop)",
        );
        assert_eq!((status, err.as_str()), (0, ""));
        assert!(began.elapsed() >= Duration::from_millis(100), "{:?}", began.elapsed());
    }
}

#[test]
fn counts_at_the_end_are_those_of_all_threads() {
    let (status, out, err) = run(&[
        "-j",
        "2",
        "-h",
        "a.count",
        "-h",
        "b.count",
        "-e",
        "InfiniteSource(LIMIT 70) -> a :: Counter -> Discard; InfiniteSource(LIMIT 80) -> b :: Counter -> Discard;
         DriverManager(wait 0.2, stop)",
    ]);
    assert_eq!((status, out.as_str(), err.as_str()), (0, "a.count:\n70\n\nb.count:\n80\n\n", ""));
}

#[test]
fn a_loop_over_two_threads_can_be_stopped() {
    let port = free_port();
    let configuration = "s :: InfiniteSource(LIMIT 10) -> a :: Tee -> n :: Null -> q :: Queue -> u :: Unqueue -> b :: Tee -> a;
        a [1] -> Discard; b [1] -> c :: Counter -> Discard; StaticThreadSched(s 0, u 1)";
    let running = Running::start(click(&["-j", "2", "-p", &port.to_string(), "-e", configuration]));
    let mut control = Control::connect(port);
    common::until(|| control.read("c.count").parse::<u64>().unwrap() > 10_000);
    running.signal("TERM");
    assert_eq!(running.end().0, 0);
}

#[test]
fn what_cannot_be_is_said() {
    let (status, _, err) =
        run(&["-j", "2", "-q", "-e", "s :: InfiniteSource -> Discard; StaticThreadSched(s 7)"]);
    assert_eq!(status, 0);
    assert!(err.contains("warning: thread preference 7 out of range"), "{err}");
    let (_, _, err) = run(&["-j", "2", "--simtime", "-q", "-e", "Idle -> Discard"]);
    assert!(err.contains("the router runs on 1 thread with simulated time"), "{err}");
}
