//! `microvisor` as a person uses it: what it refuses, what it says, what it leaves.

use e2e::net::Namespace;
use e2e::{RunFolder, eventually, finish, is_alive, root, run, signal, start, unique};
use machine::status;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

/// A file, removed with this.
struct Temporary(PathBuf);

impl Temporary {
    fn click(text: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("{}.click", unique("f")));
        fs::write(&path, text).expect("the temporary folder can be written");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[track_caller]
fn click_is_refused(text: &[u8], says: &str) {
    let file = Temporary::click(text);
    let folder = RunFolder::new();
    let outcome = folder.run(&["run", file.path()]);
    outcome.ends(status::CONFIGURATION_REFUSED, says);
    assert!(outcome.err.len() < 20_000, "{} bytes of message", outcome.err.len());
    assert!(folder.left().is_empty());
}

#[test]
fn click_files_that_are_wrong_are_refused_with_the_place() {
    click_is_refused(b"a :: Idle;\na -> -> b;", ":2:6:");
    click_is_refused(b"Idle -> NoSuchElement(1) -> Discard;", "NoSuchElement");
    click_is_refused(b"FromDevice(0) -> Unqueue -> Discard;", "push");
    click_is_refused(b"t :: Tee(2); Idle -> t -> Discard;", "");
    click_is_refused(b"c :: Counter; Idle -> c;", "unused");
    click_is_refused(b"Idle -> Strip(many) -> Discard;", "LENGTH");
    click_is_refused(b"Idle -> IPFilter(allow sideways) -> Discard;", "");
    click_is_refused(b"\xff\xfe", "not UTF-8");
}

#[test]
fn megabyte_of_garbage_is_refused_soon() {
    let garbage: Vec<u8> = (0..1 << 20)
        .map(|i: u32| b"abc :;->()[]{}$\"'\n,"[(i.wrapping_mul(2_654_435_761) >> 8) as usize % 19])
        .collect();
    let begun = std::time::Instant::now();
    click_is_refused(&garbage, "");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn ten_thousand_nested_parentheses_are_refused() {
    for open in ["(", "{", "Idle -> Print("] {
        click_is_refused(open.repeat(10_000).as_bytes(), "");
        let closed = open.repeat(10_000) + &")".repeat(10_000);
        click_is_refused(closed.as_bytes(), "");
    }
    let deep = format!("Idle -> IPFilter(allow {}udp{}) -> Discard;", "(".repeat(10_000), ")".repeat(10_000));
    click_is_refused(deep.as_bytes(), "");
}

#[test]
fn devices_without_taps_are_refused_before_anything_is_made() {
    click_is_refused(b"FromDevice(eth0) -> Discard;", "add --tap");
}

#[test]
fn foreground_run_ends_with_the_guests_code_and_leaves_nothing() {
    let folder = RunFolder::new();
    for code in ["0", "7"] {
        let outcome = folder.run(&["run", "target/test-images/exits", "--set", &format!("code={code}")]);
        assert_eq!(outcome.status.to_string(), code, "{outcome:?}");
    }
    assert!(folder.left().is_empty());
}

#[test]
fn fault_report_names_function_and_line() {
    let folder = RunFolder::new();
    let outcome = folder.run(&["run", "target/test-images/writes-text"]);
    outcome.ends(status::GUEST_FAULT, "guest fault: page fault (#PF) writing");
    assert!(outcome.err.contains("writes-text.rs:"), "{outcome:?}");
    assert!(outcome.err.contains("rip "), "{outcome:?}");
}

#[test]
fn timeline_shows_every_phase() {
    let folder = RunFolder::new();
    let outcome = folder.run(&["run", "hello", "--timeline"]);
    for phase in ["request", "image", "network", "spawn", "create", "memory", "load", "enter", "boot"] {
        assert!(outcome.err.contains(phase), "{phase}: {outcome:?}");
    }
    let outcome = folder.run(&["run", "hello", "--timeline=json"]);
    let timeline: serde_json::Value = serde_json::from_str(outcome.err.trim()).expect("JSON");
    assert!(timeline["spans"].as_array().is_some_and(|s| s.len() >= 4), "{timeline}");
}

#[test]
fn json_events_tell_the_whole_story() {
    let folder = RunFolder::new();
    let outcome = folder.run(&["run", "hello", "--json", "--name", "story"]);
    let events: Vec<serde_json::Value> =
        outcome.out.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let names: Vec<&str> = events.iter().filter_map(|e| e["event"].as_str()).collect();
    assert_eq!((names.first(), names.last()), (Some(&"started"), Some(&"ended")), "{names:?}");
    assert!(names.contains(&"console"), "{names:?}");
    let outcome = folder.run(&["run", "no-such-image", "--json"]);
    assert_eq!(outcome.status, i32::from(status::IMAGE_REFUSED));
    assert!(outcome.out.contains("\"event\":\"refused\""), "{outcome:?}");
}

#[test]
fn detached_instance_is_listed_talks_and_stops() {
    let folder = RunFolder::new();
    let outcome = folder.run(&["run", "target/test-images/echoes-console", "--detach", "--name", "echo"]);
    assert_eq!((outcome.status, outcome.out.trim()), (0, "echo"), "{outcome:?}");
    let listed = folder.run(&["ps"]);
    assert!(listed.out.contains("echo") && listed.out.contains("ready"), "{listed:?}");
    let records: serde_json::Value = serde_json::from_str(&folder.run(&["ps", "--json"]).out).expect("JSON");
    let pid = records[0]["pid"].as_u64().expect("a process") as u32;
    assert!(is_alive(pid));

    let mut console = start(folder.microvisor(&["console", "echo"]).stdin(Stdio::piped()));
    let mut keys = console.stdin.take().expect("piped");
    keys.write_all(b"over here\n").expect("written");
    std::thread::sleep(Duration::from_millis(300));
    keys.write_all(b"\x1d").expect("written");
    let outcome = finish(console);
    assert!(outcome.out.contains("listening") && outcome.out.contains("over here"), "{outcome:?}");

    assert!(folder.run(&["inspect", "echo"]).out.contains("ready"));
    assert!(folder.run(&["timeline", "echo"]).out.contains("spawn"));
    folder.run(&["run", "hello", "--name", "echo"]).ends(status::HOST, "an instance named echo is running");
    folder.run(&["click", "echo", "read", "a.count"]).ends(status::CONFIGURATION_REFUSED, "");
    folder.run(&["stop", "echo"]).ends(0, "");
    folder.is_empty_soon();
    assert!(!is_alive(pid));
    folder.run(&["stop", "echo"]).ends(status::HOST, "no instance named echo");
}

#[test]
fn killed_monitor_is_cleaned_up_after() {
    let folder = RunFolder::new();
    let namespace = Namespace::new();
    let tap = unique("t");
    let option = format!("{tap},netns={},address=10.9.0.2/24", namespace.name);
    let image = "target/test-images/serves-tcp";
    let outcome = folder.run(&["run", image, "--tap", &option, "--detach", "--name", "victim"]);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert!(namespace.devices().contains(&tap));
    let records: serde_json::Value = serde_json::from_str(&folder.run(&["ps", "--json"]).out).expect("JSON");
    signal(records[0]["pid"].as_u64().expect("a process") as u32, "KILL");
    folder.is_empty_soon();
    eventually("the TAP is gone", || !namespace.devices().contains(&tap));
}

#[test]
fn signals_to_the_command_reach_the_guest() {
    for (name, number) in [("TERM", libc::SIGTERM), ("INT", libc::SIGINT)] {
        let folder = RunFolder::new();
        let child =
            start(folder.microvisor(&["run", "target/test-images/echoes-console"]).stdin(Stdio::null()));
        let pid = child.id();
        eventually("it runs", || !folder.left().is_empty());
        std::thread::sleep(Duration::from_millis(150));
        signal(pid, name);
        let outcome = finish(child);
        assert_eq!(outcome.status, 128 + number, "{outcome:?}");
        assert!(outcome.out.contains("asked to stop"), "{outcome:?}");
    }
}

#[test]
fn killed_command_takes_its_instance_with_it_and_is_swept() {
    let folder = RunFolder::new();
    let child = start(folder.microvisor(&["run", "target/test-images/spins"]).stdin(Stdio::null()));
    eventually("it is listed", || folder.run(&["ps"]).out.contains("spins"));
    let records: serde_json::Value = serde_json::from_str(&folder.run(&["ps", "--json"]).out).expect("JSON");
    let monitor = records[0]["pid"].as_u64().expect("a process") as u32;
    signal(child.id(), "KILL");
    let _ = finish(child);
    eventually("the monitor is gone", || !is_alive(monitor));
    assert_eq!(folder.run(&["ps"]).out.lines().count(), 1);
    assert!(folder.left().is_empty());
}

#[test]
fn name_of_a_tap_that_is_none_and_missing_namespaces_are_refused() {
    let folder = RunFolder::new();
    let image = "target/test-images/serves-tcp";
    folder.run(&["run", image, "--tap", "lo"]).ends(status::HOST, "is not a TAP");
    let outcome = folder.run(&["run", image, "--tap", "t0,netns=no-such-namespace"]);
    outcome.ends(status::CONFIGURATION_REFUSED, "ip netns add");
    folder
        .run(&["run", image, "--tap", "a-name-that-is-far-too-long"])
        .ends(status::CONFIGURATION_REFUSED, "");
    assert!(folder.left().is_empty());
}

#[test]
fn inspect_says_what_an_image_wants() {
    let folder = RunFolder::new();
    let outcome = folder.run(&["inspect", "clickos"]);
    assert!(outcome.out.contains("guest ABI") && outcome.out.contains("click"), "{outcome:?}");
    let facts: serde_json::Value =
        serde_json::from_str(&folder.run(&["inspect", "hello", "--json"]).out).expect("JSON");
    assert_eq!(facts["name"], "hello");
    folder.run(&["inspect", "Makefile"]).ends(status::IMAGE_REFUSED, "not an ELF");
}

#[test]
fn help_is_there_for_every_command() {
    let folder = RunFolder::new();
    for command in ["run", "ps", "stop", "console", "click", "inspect", "timeline"] {
        let outcome = folder.run(&[command, "--help"]);
        assert!(outcome.status == 0 && outcome.out.contains("Usage"), "{outcome:?}");
    }
    assert!(root().join("README.md").is_file());
    assert_eq!(run(&mut folder.microvisor(&["bogus"])).status, i32::from(status::CONFIGURATION_REFUSED));
}
