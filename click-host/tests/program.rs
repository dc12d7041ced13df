//! The command line, what is printed, and exit statuses.

mod common;

use common::{Running, click, run, said};
use std::io::Write;
use std::process::Stdio;

const COUNTED: &str = "InfiniteSource(LIMIT 5, STOP true) -> c :: Counter -> d :: Discard";

#[test]
fn handlers_are_printed_at_the_end() {
    assert_eq!(run(&["-e", COUNTED, "-h", "c.count"]), (0, "5".into(), "".into()));
    let (status, out, _) = run(&["-e", COUNTED, "-h", "c.count", "-h", "*.class"]);
    assert_eq!(status, 0);
    assert!(out.starts_with("c.count:\n5\n") && out.contains("d.class:\nDiscard\n"), "{out}");
    let (status, _, err) = run(&["-e", COUNTED, "-h", "c.nothing"]);
    assert_eq!((status, err.as_str()), (1, "no 'c.nothing' handler\n"));
}

#[test]
fn a_handler_can_be_the_exit_status() {
    assert_eq!(run(&["-e", COUNTED, "-x", "c.count"]).0, 5);
    assert_eq!(run(&["-e", "d :: Discard(ACTIVE false); Idle -> d", "-q", "-x", "d.active"]).0, 1);
    assert_eq!(run(&["-e", COUNTED, "-x", "c.class"]).0, 255);
}

#[test]
fn a_configuration_comes_from_a_file_standard_input_or_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("x.click"),
        "InfiniteSource(LIMIT $N, STOP true) -> c :: Counter -> Discard",
    )
    .unwrap();
    let path = folder.path().to_str().unwrap();
    let (status, out, err) = run(&["-C", path, "x.click", "N=3", "-h", "c.count"]);
    assert_eq!((status, out.as_str(), err.as_str()), (0, "3", ""));
    let mut child = click(&["-h", "c.count"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(COUNTED.as_bytes()).unwrap();
    assert_eq!(said(child.wait_with_output().unwrap()).1, "5");
    assert_eq!(run(&["/nowhere.click"]).2, "/nowhere.click: No such file or directory\n");
}

#[test]
fn errors_name_the_place_and_end_with_1() {
    let (status, _, err) = run(&["-e", "Idle -> c :: Counter(1) -> Discard;\nx :: Idle"]);
    assert_eq!(status, 1);
    assert!(err.starts_with("config:1: While configuring 'c :: Counter':\n  too many arguments"), "{err}");
    assert!(err.ends_with("Router could not be initialized!\n"), "{err}");
    assert_eq!(run(&["-e", "x :: Foo"]).2, "config:1: unknown element class 'Foo'\n");
    assert_eq!(run(&["--nothing"]).0, 1);
    assert_eq!(run(&["-e", "Idle", "x.click"]).0, 1);
}

#[test]
fn the_flat_configuration_parses_to_the_same() {
    let compound = "elementclass P { input -> n :: Null -> output } Idle -> p :: P -> Discard";
    let (_, flat, _) = run(&["-q", "-o", "-", "-e", compound]);
    assert!(flat.contains("p/n :: Null;"), "{flat}");
    assert_eq!(run(&["-q", "-e", "", "-o", "-"]), (0, "".into(), "".into()));
}

#[test]
fn signals_stop_the_router_and_then_handlers_are_printed() {
    for signal in ["INT", "TERM"] {
        let command = click(&[
            "-e",
            "s :: TimedSource(0.01) -> c :: Counter -> Discard; Script(print ready)",
            "-h",
            "c.class",
        ]);
        let running = Running::start(command);
        std::thread::sleep(std::time::Duration::from_millis(300));
        running.signal(signal);
        assert_eq!(running.end(), (0, "ready\nCounter".into(), "".into()));
    }
}

#[test]
fn scripts_compute_print_and_write_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out");
    let script = format!(
        "PortInfo(web 80); AlignmentInfo; RandomSeed(7); s :: Script(TYPE PASSIVE, return $(sprintf \"%05x\" $1));
        d :: DriverManager(
            print $(div 3 2), print $(idiv 7 2), print \"$(abs -4) $(neg 2) $(rem 7 4)\", print $(s.run 127),
            print \"$(in b a b) $(first x y) $(readable s.run) $(writable list) $(htons 1) $(basename /a/b)\",
            print >{0} \"in a file\", printn \"$(cat {0})\", writeq s.run \"1\", print $?, stop)",
        file.display()
    );
    let (status, out, err) = run(&["-e", &script]);
    assert_eq!((status, err.as_str()), (0, ""));
    assert_eq!(out, "1.5\n3\n4 -2 3\n0007f\ntrue x true false 256 b\nin a file0\n");
}

#[test]
fn scripts_answer_packets_handlers_and_signals() {
    let text = "InfiniteSource(LIMIT 4, STOP false) -> p :: Script(TYPE PACKET, set n $(add $n 1), return $(mod $n 2));
        p [0] -> even :: Counter -> Discard; p [1] -> odd :: Counter -> Discard;
        x :: Script(TYPE PROXY, return \"<$0>\"); Script(TYPE SIGNAL USR1, print got, stop); Script(print $(x.any))";
    let running = Running::start(click(&["-e", text, "-h", "even.count", "-h", "odd.count"]));
    std::thread::sleep(std::time::Duration::from_millis(300));
    running.signal("USR1");
    let (status, out, err) = running.end();
    assert_eq!((status, err.as_str()), (0, ""));
    assert_eq!(out, "<any>\ngot\neven.count:\n2\nodd.count:\n2\n");
}

#[test]
fn a_guest_is_told_what_needs_a_host() {
    let source = ::click::Source { name: "x", text: "FromDump(x) -> Discard" };
    let source = ::click::check(&source, &[]).unwrap_err().to_string();
    assert!(source.contains("FromDump needs a host, and cannot be used in a guest"), "{source}");
}
