//! What is installed: the files, the units, and the daemon as a service. The packages themselves have `make test-deb`.

use e2e::node::Node;
use e2e::{RunFolder, ends_within, eventually, program, root, run, unique};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A folder that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(unique("pk"));
        fs::create_dir(&path).expect("new");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn files(folder: &Path) -> Vec<String> {
    let found = run(Command::new("find").arg(folder).args(["-type", "f", "-printf", "%P\n"])).out;
    found.lines().map(str::to_owned).collect()
}

/// Runs a script of packaging/ for a prefix in a folder.
fn packaging(script: &str, folder: &Path, arguments: &[&str]) {
    let mut command = Command::new(root().join("packaging").join(script));
    command.args(arguments).env("PREFIX", folder.join("usr")).env("ETC", folder.join("etc"));
    run(command.env_remove("DESTDIR")).ends(0, "");
}

#[test]
fn what_is_installed_is_whole_and_is_removed() {
    let to = Folder::new();
    packaging("prepare", &to.0, &[]);
    let packages = ["microvisor", "microvisor-node", "microvisor-click"];
    packaging("install", &to.0, &packages);
    let installed = files(&to.0);
    for file in [
        "etc/microvisor/node.toml",
        "usr/bin/microvisor-vmm",
        "usr/lib/microvisor/images/clickos",
        "usr/lib/systemd/system/microvisor-node.service",
        "usr/share/man/man1/microvisor-run.1.gz",
        "usr/share/man/man8/microvisor-switch.8.gz",
        "usr/share/zsh/site-functions/_microvisor",
    ] {
        assert!(installed.iter().any(|f| f == file), "{file} is missing: {installed:?}");
    }
    let programs = to.0.join("usr/bin");
    for program in fs::read_dir(&programs).expect("it is there").flatten() {
        let sections = run(Command::new("readelf").arg("--sections").arg(program.path())).out;
        assert!(!sections.contains(".debug_info") && !sections.contains(".symtab"), "{program:?}");
    }
    let node = programs.join("microvisor-node");
    run(Command::new(&node).arg("--check").arg("--config").arg(to.0.join("etc/microvisor/node.toml")))
        .ends(0, "");
    let units = to.0.join("usr/lib/systemd/system");
    let verified = run(Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args([units.join("microvisor-node.service"), units.join("microvisor-node.socket")]));
    verified.ends(0, "");
    assert!(!verified.err.contains("microvisor"), "{}", verified.err);

    // What the administrator changed stays; everything else goes.
    let config = to.0.join("etc/microvisor/node.toml");
    packaging("install", &to.0, &["--remove", "microvisor-click"]);
    fs::write(&config, "prepared = 4\n").expect("it is ours");
    packaging("install", &to.0, &packages);
    packaging("install", &to.0, &["--remove"]);
    assert_eq!(files(&to.0), ["etc/microvisor/node.toml"]);
    assert_eq!(fs::read_to_string(&config).expect("it is there"), "prepared = 4\n");
}

#[test]
fn completion_offers_names_that_there_are() {
    let folder = RunFolder::new();
    folder.run(&["run", "target/test-images/echoes-console", "--detach", "--name", "long-lived"]).ends(0, "");
    // As bash does after Tab, in a shell that has nothing but the script.
    let offers = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let script = format!(
            "source <(microvisor completion bash); COMP_WORDS=({line}); COMP_CWORD={}; COMP_TYPE=9; \
             $(complete -p microvisor | sed 's/.*-F \\([^ ]*\\).*/\\1/') microvisor '' ''; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.len() - 1
        );
        let mut shell = Command::new("bash");
        shell.args(["--norc", "-c", &script]);
        for (name, value) in folder.microvisor(&[]).get_envs() {
            value.map(|value| shell.env(name, value));
        }
        let path = std::env::var("PATH").unwrap_or_default();
        shell.env("PATH", format!("{}:{path}", root().join("target/release").display()));
        run(shell.env("MICROVISOR_NODE", "/nowhere")).out
    };
    for (line, offered) in [
        ("microvisor stop lon", "long-lived"),
        ("microvisor elements IPRewr", "IPRewriter"),
        ("microvisor run click", "clickos"),
        ("microvisor st", "stop"),
    ] {
        let offers = offers(line);
        assert!(offers.lines().any(|l| l == offered), "{line}: {offers}");
    }
    folder.run(&["stop", "long-lived"]).ends(0, "");
}

/// What the daemon tells systemd, on a real socket: until it says this.
fn hears(socket: &UnixDatagram, what: &str) {
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a duration");
    let mut message = [0; 256];
    loop {
        let length = socket.recv(&mut message).unwrap_or_else(|e| panic!("{what}: {e}"));
        if String::from_utf8_lossy(&message[..length]).lines().any(|line| line == what) {
            return;
        }
    }
}

#[test]
fn service_manager_hears_that_the_node_is_ready_and_lives() {
    let folder = Folder::new();
    let path = folder.0.join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    let mut node = Node::idle(program("microvisor-node"), &[]);
    node.environment.push(("NOTIFY_SOCKET", path.display().to_string()));
    node.environment.push(("WATCHDOG_USEC", "300000".into()));
    node.start();
    for what in ["READY=1", "WATCHDOG=1", "WATCHDOG=1"] {
        hears(&socket, what);
    }
    node.end();
    hears(&socket, "STOPPING=1");
}

#[test]
fn socket_of_the_service_manager_is_served_and_stays() {
    let folder = Folder::new();
    let socket = folder.0.join("run/api.sock");
    fs::create_dir(folder.0.join("run")).expect("new");
    let mut manager = Command::new("systemd-socket-activate");
    manager.arg("--listen").arg(&socket).arg("--setenv=MICROVISOR_IMAGES").arg(program("microvisor-node"));
    manager.arg("--run").arg(folder.0.join("run")).arg("--state").arg(folder.0.join("state"));
    manager.env("MICROVISOR_IMAGES", root().join("target/images"));
    let mut daemon =
        manager.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    eventually("it listens", || socket.exists());
    // A mode that only the manager may have chosen.
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).expect("it is ours");
    let microvisor =
        |words: &[&str]| run(Command::new(program("microvisor")).args(words).env("MICROVISOR_NODE", &socket));
    microvisor(&["net", "create", "blue", "--subnet", "10.0.0.0/24"]).ends(0, "");
    assert!(microvisor(&["net", "ls"]).out.contains("blue"));
    e2e::signal(daemon.id(), "TERM");
    assert!(ends_within(&mut daemon, Duration::from_secs(10)).is_some_and(|status| status.success()));
    let mode = fs::metadata(&socket).expect("it stays").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // What outlives the daemon: the switch. Without a daemon all of it is ended.
    let mut end = Command::new(program("microvisor-node"));
    end.arg("--end-all").arg("--run").arg(folder.0.join("run")).arg("--state").arg(folder.0.join("state"));
    run(&mut end).ends(0, "");
    assert_eq!(files(&folder.0.join("run")), Vec::<String>::new());
    let left = run(Command::new("pgrep").arg("-f").arg(&folder.0)).out;
    assert_eq!(left, "");
}

#[test]
fn nothing_is_ended_while_a_daemon_looks_after_it() {
    let node = Node::new();
    let mut end = Command::new(program("microvisor-node"));
    end.arg("--end-all")
        .arg("--run")
        .arg(node.folder.join("run"))
        .arg("--state")
        .arg(node.folder.join("state"));
    run(&mut end).ends(124, "end the daemon first");
    assert!(node.get("/v1/status").json["switch"].as_u64().is_some_and(|pid| e2e::is_alive(pid as u32)));
}
