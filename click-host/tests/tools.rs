//! Programs that change configurations and do not run them.

mod common;

use common::{run, said};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

/// Runs the program under another name: status, standard output, standard error.
fn tool(name: &str, arguments: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    symlink(env!("CARGO_BIN_EXE_click"), &path).unwrap();
    said(Command::new(path).args(arguments).stdin(Stdio::null()).output().unwrap())
}

const COMPOUND: &str = "define($N 5); elementclass Twice { input -> Tee(1) -> output; }
    InfiniteSource(LIMIT $N) -> Twice -> Twice -> Discard;";

#[test]
fn compounds_are_taken_apart() {
    for name in ["click-flatten", "click-align"] {
        let (status, out, err) = tool(name, &["-e", COMPOUND]);
        assert_eq!((status, err.as_str()), (0, ""));
        assert!(out.contains("InfiniteSource@1 :: InfiniteSource(LIMIT 5);\n"), "{out}");
        assert!(out.contains("Tee@1 -> ") && !out.contains("Twice {"), "{out}");
        // It is the same router.
        assert_eq!(run(&["-q", "-e", &out]), (0, String::new(), String::new()));
    }
    assert_eq!(tool("click-flatten", &["--classes", "-e", COMPOUND]).1, "Discard\nInfiniteSource\nTee\n");
    let (status, out, _) = tool("click-flatten", &["N=7", "-e", COMPOUND]);
    assert!(status == 0 && out.contains("LIMIT 7"), "{out}");
}

#[test]
fn what_is_dead_is_taken_out() {
    for (text, left) in [
        // Nothing comes from an Idle, and nothing goes past one.
        ("Idle -> Counter -> Discard; InfiniteSource -> Discard", "InfiniteSource -> Discard"),
        (
            "InfiniteSource -> Counter -> Idle; InfiniteSource -> c :: Counter -> Discard",
            "InfiniteSource -> Counter -> Discard",
        ),
        // Switches that never switch, schedulers of one input, elements that do nothing.
        (
            "InfiniteSource -> s :: StaticSwitch(1); s[0] -> Counter -> Discard; s[1] -> Strip(1) -> Discard",
            "InfiniteSource -> Strip(1) -> Discard",
        ),
        (
            "InfiniteSource -> Queue -> [0] s :: RoundRobinSched -> Null -> Unqueue -> Discard; Idle -> [1] s",
            "InfiniteSource -> Queue -> Unqueue -> Discard",
        ),
        // A port in the middle that leads nowhere now leads to an Idle.
        (
            "InfiniteSource -> t :: Tee(3); t[0] -> Discard; t[1] -> Counter -> Idle; t[2] -> Discard",
            "InfiniteSource -> t :: Tee(3); t[0] -> Discard; t[1] -> Idle; t[2] -> Discard",
        ),
        // What has no ports stays.
        ("AddressInfo(a 1.2.3.4); Script(print 5)", "AddressInfo(a 1.2.3.4); Script(print 5)"),
    ] {
        let (status, out, err) = tool("click-undead", &["-e", text]);
        assert_eq!((status, err.as_str()), (0, ""), "{text}");
        assert_eq!(classes(&out), classes(left), "{text}:\n{out}");
        assert_eq!(run(&["-q", "-e", &out]).0, 0, "{text}:\n{out}");
    }
}

/// Classes of a configuration's elements, in order of their names, and how many connections there are.
fn classes(text: &str) -> (Vec<String>, usize) {
    let flat = tool("click-flatten", &["-e", text]).1;
    let mut classes: Vec<String> =
        flat.lines().filter_map(|l| Some(l.split_once(" :: ")?.1.to_string())).collect();
    classes.sort_unstable();
    (classes, flat.matches("->").count())
}

#[test]
fn mistakes_are_said_and_nothing_is_written() {
    let (status, out, err) = tool("click-undead", &["-e", "Idle -> "]);
    assert!(status == 1 && out.is_empty() && err.starts_with("click-undead: "), "{err}");
    let (status, out, err) = tool("click-flatten", &["-o", "/nowhere/x", "-e", "Idle"]);
    assert_eq!(
        (status, out.as_str(), err.as_str()),
        (1, "", "click-flatten: /nowhere/x: No such file or directory\n")
    );
    let (status, out, _) = tool("click-align", &["--help"]);
    assert!(status == 0 && out.starts_with("'click-align' writes"), "{out}");
}
