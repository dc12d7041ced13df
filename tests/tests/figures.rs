//! `microvisor-bench`: a figure is numbers and pictures, and nothing is left of its making, however it ends.

use e2e::{Outcome, eventually, finish_within, program, root, run, signal, start, unique};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A copy of the program in a folder of its own, with the programs that it measures beside it.
static BENCH: LazyLock<PathBuf> = LazyLock::new(|| {
    let (folder, name) = (root().join("target/figures-test"), "microvisor-bench");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).expect("new");
    for name in ["microvisor", "microvisor-vmm", "microvisor-switch", "microvisor-node"] {
        symlink(program(name), folder.join(name)).expect("new");
    }
    fs::copy(program(name), folder.join(name)).expect("new");
    folder.join(name)
});

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        Self(std::env::temp_dir().join(unique("figures")))
    }

    fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn bench(arguments: &[&str], out: &Folder) -> Command {
    let mut command = Command::new(&*BENCH);
    command.args(arguments).arg("--out").arg(&out.0).stdin(Stdio::null());
    command
}

fn compare(old: &Path, new: &Path) -> Outcome {
    run(Command::new(&*BENCH).arg("compare").args([old, new]))
}

/// Namespaces, folders and processes of a run, by the names that it gives them.
fn left(pid: u32) -> Vec<String> {
    let stem = format!("mvb{pid}-");
    let names = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    let mut left: Vec<String> =
        [Path::new("/run/netns"), &std::env::temp_dir()].into_iter().flat_map(names).collect();
    left.retain(|name| name.starts_with(&stem));
    let lines = names(Path::new("/proc")).into_iter().filter_map(|p| {
        let line = fs::read(format!("/proc/{p}/cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).into_owned())
    });
    left.extend(lines.filter(|line| line.contains(&stem)));
    left
}

#[test]
fn a_figure_is_numbers_and_pictures_and_leaves_nothing() {
    let out = Folder::new();
    let child = start(&mut bench(&["fig07", "fig10", "--quick", "--rounds", "1"], &out));
    let pid = child.id();
    let outcome = finish_within(child, TIMEOUT);
    outcome.ends(0, "CPU 0");
    assert_eq!(left(pid), [""; 0]);

    let json: Value = serde_json::from_slice(&out.file("fig07.json")).expect("JSON");
    assert_eq!(json["schema"], "microvisor-figure/1");
    let bars = json["content"]["groups"][0]["bars"].as_array().expect("bars");
    for bar in bars {
        let number = |name: &str| bar[name].as_f64().unwrap_or_else(|| panic!("{name}: {bar}"));
        assert!(number("p10") <= number("median") && number("median") <= number("p90"), "{bar}");
        assert!((1.0..1e6).contains(&number("median")), "{bar}");
    }
    let keys: Vec<&str> = bars.iter().filter_map(|bar| bar["key"].as_str()).collect();
    assert_eq!(keys, ["native", "bridge", "tap", "switch", "switch-polling", "switch-sleeping"]);
    for figure in ["fig07", "fig10"] {
        assert!(out.file(&format!("{figure}.svg")).starts_with(b"<svg "));
        assert!(out.file(&format!("{figure}.png")).starts_with(b"\x89PNG"));
        let page = String::from_utf8(out.file("index.html")).expect("text");
        assert!(page.contains(&format!("{figure}.svg")) && page.contains("apt-get").eq(&false));
    }

    // A run is as good as itself; one that took ten times as long is worse.
    compare(&out.0, &out.0).ends(0, "");
    let slower = Folder::new();
    fs::create_dir(&slower.0).expect("new");
    let times = |bar: &Value, by: f64| {
        let median = bar["median"].as_f64().unwrap_or(0.0) * by;
        serde_json::json!({ "key": bar["key"], "label": bar["label"], "n": 3, "median": median, "p10": median,
            "p90": median, "values": [median, median, median] })
    };
    for (folder, by) in [(&out, 1.0), (&slower, 10.0)] {
        let mut copy = json.clone();
        copy["content"]["groups"][0]["bars"] = bars.iter().map(|bar| times(bar, by)).collect();
        fs::write(folder.0.join("fig07.json"), copy.to_string()).expect("written");
    }
    let outcome = compare(&out.0, &slower.0);
    assert_eq!(outcome.status, 1, "{outcome:?}");
    assert!(outcome.out.contains("6 worse"), "{outcome:?}");
    assert_eq!(compare(&slower.0, &out.0).status, 0);
}

/// Ctrl-C in the middle of the turn whose announcement has these words.
fn ctrl_c_takes_everything_down(moment: &str) {
    let out = Folder::new();
    let mut child = start(&mut bench(&["fig09", "fig08", "fig05", "--quick", "--rounds", "1"], &out));
    let pid = child.id();
    let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains(moment) {
        line.clear();
        assert!(said.read_line(&mut line).is_ok_and(|n| n > 0), "{moment} is not said");
    }
    // In the middle of its turn: something is there to be taken down.
    eventually("something is made", || !left(pid).is_empty());
    std::thread::sleep(Duration::from_millis(400));
    signal(pid, "INT");
    let outcome = finish_within(child, TIMEOUT);
    assert_eq!(outcome.status, 130, "{outcome:?}");
    eventually("nothing is left", || left(pid).is_empty());
}

#[test]
fn ctrl_c_takes_a_guest_and_its_tap_down() {
    ctrl_c_takes_everything_down("Guest, TAP in the monitor");
}

#[test]
fn ctrl_c_takes_a_guest_and_the_switch_down() {
    ctrl_c_takes_everything_down("Guest, switch, polling");
}

#[test]
fn who_cannot_measure_says_what_to_install() {
    let out = Folder::new();
    let outcome = run(bench(&["fig07", "--quick"], &out).env("PATH", "/nowhere"));
    outcome.ends(1, "rsvg-convert is missing: apt-get install librsvg2-bin");
    let programs = Folder::new();
    fs::create_dir(&programs.0).expect("made");
    std::os::unix::fs::symlink("/usr/bin/rsvg-convert", programs.0.join("rsvg-convert")).expect("linked");
    let outcome = run(bench(&["fig07", "--quick"], &out).env("PATH", &programs.0));
    outcome.ends(1, "ping is missing: apt-get install iputils-ping");
    run(&mut bench(&["fig77"], &out)).ends(2, "there is no figure fig77");
}
