//! The command line, what is printed, and exit statuses.

mod common;

use common::{Running, click, run, said};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

const COUNTED: &str = "InfiniteSource(LIMIT 5, STOP true) -> c :: Counter -> d :: Discard";

#[test]
fn handlers_are_printed_at_the_end() {
    assert_eq!(run(&["-e", COUNTED, "-h", "c.count"]), (0, "5\n".into(), "".into()));
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
    assert_eq!((status, out.as_str(), err.as_str()), (0, "3\n", ""));
    let mut child = click(&["-h", "c.count"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(COUNTED.as_bytes()).unwrap();
    assert_eq!(said(child.wait_with_output().unwrap()).1, "5\n");
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
            "s :: TimedSource(0.01) -> c :: Counter -> Discard; Script(print \"ready\")",
            "-h",
            "c.class",
        ]);
        let running = Running::start(command);
        std::thread::sleep(std::time::Duration::from_millis(300));
        running.signal(signal);
        assert_eq!(running.end(), (0, "ready\nCounter\n".into(), "".into()));
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
    assert_eq!(out, "1.5\n3\n4 -2 3\n0007f\ntrue x true false 256 b\nin a file\n0\n");
}

#[test]
fn aggregates_are_written_to_files_and_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("counts");
    let text = format!(
        "InfiniteSource(LIMIT 3, STOP true) -> Paint(1, AGGREGATE) -> a :: AggregateCounter -> Discard;
        DriverManager(pause, write a.write_text_file -, write a.write_text_file {}, stop)",
        file.display()
    );
    let (status, out, err) = run(&["-e", &text]);
    assert_eq!((status, err.as_str()), (0, ""));
    assert!(out.starts_with("!IPAggregate 1.0\n!num_nonzero 1\n") && out.ends_with(" 3\n"), "{out}");
    assert_eq!(std::fs::read_to_string(file).unwrap(), out);
}

#[test]
fn scripts_keep_quotes_lists_and_files_apart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("value");
    let script = format!(
        "c :: Counter; Idle -> c -> Discard;
        echo :: Script(TYPE PASSIVE, returnq $1); reset :: Script(TYPE PASSIVE, write $1.reset, read $1.count);
        s :: Script(write set list one two three, print $(shift list), print $(get list), export shown \"8\",
            print $(s.shown), save c.count -, print \"\", save c.count {0}, append s.shown {0}, print $(cat {0}),
            print $(echo.run \"\\<41 09 // not 42\n 43>\"), write reset.run c, readq length \"\\<41 42>\", stop)",
        file.display()
    );
    let (status, out, err) = run(&["-e", &script]);
    assert_eq!((status, out.as_str()), (0, "one\ntwo three\n\"8\"\n0\n\n0\n\"8\"\nA\tC\n"));
    assert_eq!(err, "c.count:\n0\ns.length:\n2\n");
}

#[test]
fn what_scripts_do_wrong_is_said() {
    for (script, said) in [
        ("print nothing", "no 'nothing' read handler"),
        ("goto end maybe", "bad condition 'maybe'"),
        ("error out of it", "out of it"),
    ] {
        let (_, out, err) = run(&["-e", &format!("s :: DriverManager({script})")]);
        assert_eq!((out.as_str(), err), ("", format!("{said}\n")));
        let later = format!("s :: DriverManager(wait 1ms, {script})");
        let (_, _, err) = run(&["--simtime", "-e", &later]);
        assert_eq!(err, format!("While executing 's :: DriverManager':\n  {said}\n"));
    }
    let (_, _, err) =
        run(&["-e", "a :: Script(TYPE PASSIVE); DriverManager(print $(a.cat /etc/passwd), stop)"]);
    assert!(err.contains("no 'a.cat' read handler"), "{err}");
    let (_, _, err) = run(&["-e", "s :: DriverManager(label a, goto a)"]);
    assert_eq!(err, "s: too many jumps, giving up\n");
}

#[test]
fn every_script_of_a_signal_runs_when_it_comes() {
    let text =
        "Script(TYPE SIGNAL USR1, print \"one\"); Script(TYPE SIGNAL USR1, wait 0.05, print \"two\", stop);
        Script(print $$)";
    let running = Running::start(click(&["-e", text]));
    std::thread::sleep(std::time::Duration::from_millis(300));
    running.signal("USR1");
    let (status, out, _) = running.end();
    let lines: Vec<_> = out.lines().collect();
    assert_eq!((status, &lines[1..]), (0, &["one", "two"][..]));
    assert!(lines[0].parse::<u32>().is_ok(), "{out}");
}

#[test]
fn a_signal_that_is_not_taken_any_more_ends_the_program() {
    let again =
        "Script(set y $(kill USR1 $$), wait 0.1s, print \"again\", set y $(kill USR1 $$), wait 1s, stop);
        Script(TYPE SIGNAL USR1, print \"first\", exit)";
    let done = click(&["-e", again]).output().unwrap();
    assert_eq!(String::from_utf8(done.stdout).unwrap(), "first\nagain\n");
    assert_eq!(done.status.signal(), Some(10));
    // A configuration that takes the place of one that takes a signal does not.
    let swapped = "Script(wait 0.1s, write hotconfig Idle); Script(TYPE SIGNAL INT, print \"no\")";
    let running = Running::start(click(&["-R", "-e", swapped]));
    std::thread::sleep(std::time::Duration::from_millis(500));
    running.signal("INT");
    assert_eq!(running.end(), (0, "".into(), "".into()));
}

#[test]
fn a_script_that_waits_when_it_is_run_goes_on_by_itself() {
    let text = "s :: Script(TYPE PASSIVE, print \"one\", wait 0.1, print \"three\");
        Script(write s.run, print \"two\", wait 0.5, stop)";
    assert_eq!(run(&["--simtime", "-e", text]), (0, "one\ntwo\nthree\n".into(), "".into()));
}

#[test]
fn what_a_script_exports_is_set_once() {
    let text = "InfiniteSource(LIMIT 5, STOP true) -> s :: Script(TYPE PACKET, export seen 0, set seen $(add $seen 1));
        DriverManager(pause, print s.seen)";
    assert_eq!(run(&["-e", text]), (0, "5\n".into(), "".into()));
}

#[test]
fn a_packet_that_a_script_exits_on_is_dropped() {
    let text = "InfiniteSource(LIMIT 4, STOP true) -> Script(set n $(add $n 1), goto exit $(eq $n 2), end)
        -> c :: Counter -> Discard";
    assert_eq!(run(&["-e", text, "-h", "c.count"]), (0, "3\n".into(), "".into()));
}

#[test]
fn simulated_time_jumps_to_what_comes_next() {
    let text = "RatedSource(RATE 10, LIMIT 36000, STOP true) -> c :: Counter -> Discard;
        Script(wait 1800, print $(idiv $(sub $(now) 1000000000) 1), print c.count)";
    let began = std::time::Instant::now();
    let (status, out, err) = run(&["--simtime", "-e", text, "-h", "c.count"]);
    assert_eq!((status, err.as_str()), (0, ""));
    let lines: Vec<_> = out.lines().collect();
    assert_eq!((lines[0], lines[2]), ("1800", "36000"));
    assert!(lines[1].parse::<u32>().unwrap().abs_diff(18_000) <= 1, "{out}");
    assert!(began.elapsed().as_secs() < 60);
}

#[test]
fn scripts_answer_packets_handlers_and_signals() {
    let text = "InfiniteSource(LIMIT 4, STOP false) -> p :: Script(TYPE PACKET, set n $(add $n 1), return $(mod $n 2));
        p [0] -> even :: Counter -> Discard; p [1] -> odd :: Counter -> Discard;
        x :: Script(TYPE PROXY, returnq \"<$0>\"); Script(TYPE SIGNAL USR1, print \"got\", stop); Script(print $(x.any))";
    let running = Running::start(click(&["-e", text, "-h", "even.count", "-h", "odd.count"]));
    std::thread::sleep(std::time::Duration::from_millis(300));
    running.signal("USR1");
    let (status, out, err) = running.end();
    assert_eq!((status, err.as_str()), (0, ""));
    assert_eq!(out, "<any>\ngot\neven.count:\n2\n\nodd.count:\n2\n\n");
}

#[test]
fn a_guest_is_told_what_needs_a_host() {
    let source = ::click::Source { name: "x", text: "FromDump(x) -> Discard" };
    let source = ::click::check(&source, &[]).unwrap_err().to_string();
    assert!(source.contains("FromDump needs a host, and cannot be used in a guest"), "{source}");
}

#[test]
fn output_that_is_not_taken_ends_the_program_and_is_told() {
    let forever = "Script(TYPE ACTIVE, print \"ABC\", wait 1ms, loop)";
    for line in [
        &["--help"][..],
        &["--version"],
        &["-e", COUNTED, "-h", "c.count"],
        &["-q", "-o", "-", "-e", COUNTED],
        &["-e", forever],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child = click(line).stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let (status, _, err) = said(child.wait_with_output().unwrap());
        assert_eq!(
            (status, err.contains("cannot write"), err.contains("panicked")),
            (141, false, false),
            "{line:?}: {err}"
        );
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let child = click(line).stdin(Stdio::null()).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        let (status, _, err) = said(child.wait_with_output().unwrap());
        assert_eq!(status, 1, "{line:?}: {err}");
        assert!(
            err.ends_with("cannot write to standard output: No space left on device\n"),
            "{line:?}: {err}"
        );
    }
}

#[test]
fn complaints_that_nobody_takes_change_no_exit_status() {
    for (line, status) in
        [(&["--nothing"][..], 1), (&["-e", "x :: Foo"], 1), (&["-e", COUNTED, "-h", "c.nothing"], 1)]
    {
        for output in ["/dev/full", ""] {
            let err = if output.is_empty() {
                Stdio::from(std::io::pipe().unwrap().1)
            } else {
                Stdio::from(std::fs::File::options().write(true).open(output).unwrap())
            };
            let outcome = click(line).stdin(Stdio::null()).stderr(err).status().unwrap();
            assert_eq!(outcome.code(), Some(status), "{line:?}");
        }
    }
}
