//! What `microvisor` does when its output goes nowhere, when it is killed, when it is asked for nonsense, and when the
//! node that it asks is not there.

use e2e::node::Node;
use e2e::{RunFolder, eventually, is_alive, root, run, unique};
use machine::status;
use serde_json::json;
use std::fs::{self, File};
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Status of a command whose reader went away: 128 + SIGPIPE.
const BROKEN_PIPE: i32 = 128 + libc::SIGPIPE;

/// Runs a command with this standard output; its exit status and standard error.
fn with_output(command: &mut Command, output: Stdio) -> (i32, String) {
    let child =
        command.stdin(Stdio::null()).stdout(output).stderr(Stdio::piped()).spawn().expect("it starts");
    let outcome = e2e::finish(child);
    (outcome.status, outcome.err)
}

/// A pipe that nobody reads.
fn broken_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

fn full_disk() -> Stdio {
    File::options().write(true).open("/dev/full").expect("it is always there").into()
}

/// Every command that there is, as its words: the manual pages are made from the same definitions.
fn every_command(folder: &RunFolder) -> Vec<Vec<String>> {
    let to = std::env::temp_dir().join(unique("man"));
    fs::create_dir(&to).expect("new");
    folder.run(&["man", &to.display().to_string()]).ends(0, "");
    let pages = fs::read_dir(&to).expect("it was written").flatten();
    let names = pages.map(|p| p.file_name().to_string_lossy().trim_end_matches(".1").to_owned());
    let commands: Vec<Vec<String>> =
        names.map(|n| n.split('-').skip(1).map(str::to_owned).collect()).collect();
    let _ = fs::remove_dir_all(&to);
    commands
}

#[test]
fn every_command_notices_that_its_output_is_not_taken() {
    let folder = RunFolder::new();
    let mut lines: Vec<Vec<String>> = every_command(&folder);
    assert!(lines.len() > 30, "{lines:?}");
    // `node` hands its options to the daemon, which prints its own help.
    lines.retain(|l| {
        l.first().is_none_or(|word| word != "node" && word != "help") && !l.contains(&"help".into())
    });
    lines.iter_mut().for_each(|line| line.push("--help".into()));
    let more = [
        "ps",
        "ps --json",
        "elements",
        "elements Queue",
        "inspect hello",
        "inspect hello --json",
        "completion bash",
    ];
    lines.extend(more.iter().map(|line| line.split(' ').map(str::to_owned).collect()));
    for line in lines {
        let words: Vec<&str> = line.iter().map(String::as_str).collect();
        let (status, err) = with_output(&mut folder.microvisor(&words), broken_pipe());
        assert_eq!((status, err.as_str()), (BROKEN_PIPE, ""), "{words:?}");
        let (status, err) = with_output(&mut folder.microvisor(&words), full_disk());
        assert_eq!(status, i32::from(status::HOST), "{words:?}: {err}");
        assert!(err.contains("cannot write to standard output"), "{words:?}: {err}");
    }
}

#[test]
fn instance_whose_name_cannot_be_printed_is_ended() {
    for output in [broken_pipe(), full_disk()] {
        let folder = RunFolder::new();
        let line = ["run", "target/test-images/echoes-console", "--detach", "--name", "unknown"];
        let (status, err) = with_output(&mut folder.microvisor(&line), output);
        assert!(status == BROKEN_PIPE || status == i32::from(status::HOST), "{status} {err}");
        assert_eq!(folder.left(), Vec::<String>::new());
    }
}

#[test]
fn killed_command_leaves_no_instance_that_nobody_knows() {
    // A run of all tests tries a few; COMMAND_KILLS=600 tries more.
    let tries: u64 = std::env::var("COMMAND_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let folder = RunFolder::new();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for number in 0..tries {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let (signal, detach) = ([libc::SIGKILL, libc::SIGTERM][(random & 1) as usize], random & 2 == 0);
        let mut line = vec!["run", "target/test-images/echoes-console", "--name", "victim"];
        line.extend(detach.then_some("--detach"));
        let mut child = folder
            .microvisor(&line)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        std::thread::sleep(Duration::from_micros(random % 20_000));
        // SAFETY: a plain system call on a child that was not waited for.
        unsafe { libc::kill(child.id() as i32, signal) };
        let status = child.wait().expect("a child");
        let mut name = String::new();
        let _ = child.stdout.take().expect("piped").read_to_string(&mut name);
        if status.success() {
            folder.run(&["stop", "victim"]).ends(0, "");
        } else if !name.is_empty() {
            // Killed after it had printed the name: the instance is known, and may have been left running.
            folder.run(&["stop", "victim"]);
        }
        eventually(&format!("try {number}: nothing is left ({status}, {name:?}, detach {detach})"), || {
            let listed = folder.run(&["ps", "--json"]).out;
            listed.trim() == "[]" && folder.left().is_empty()
        });
    }
}

#[test]
fn ps_removes_nothing_but_what_dead_instances_left() {
    let folder = RunFolder::new();
    let others = [folder.0.join("node"), folder.0.join("somebody")];
    for other in &others {
        fs::create_dir(other).expect("new");
        fs::write(other.join("precious"), "").expect("written");
    }
    fs::write(others[1].join("lock"), "").expect("written");
    folder.run(&["ps"]).ends(0, "");
    let image = "target/test-images/exits";
    folder.run(&["run", image]).ends(0, "");
    folder.run(&["run", image, "--name", "node"]).ends(status::HOST, "not an instance's folder");
    for other in &others {
        assert!(other.join("precious").is_file(), "{} was removed", other.display());
        fs::remove_dir_all(other).expect("it is there");
    }
}

#[test]
fn a_folder_whose_maker_was_killed_is_removed() {
    // What is left when a command is killed while it makes or removes a folder. No process has this number.
    let folder = RunFolder::new();
    let made = |name: &str, file: Option<&str>| {
        fs::create_dir(folder.0.join(name)).expect("new");
        if let Some(file) = file {
            fs::write(folder.0.join(name).join(file), "").expect("written");
        }
    };
    made(".empty.4194304", None);
    made(".early.4194304", Some("lock"));
    made(".others.4194304", Some("precious"));
    let own = format!(".own.{}", std::process::id());
    made(&own, Some("lock"));
    eventually("they are removed", || {
        folder.run(&["ps"]).ends(0, "");
        let mut left = folder.left();
        left.sort();
        left == [".others.4194304".to_owned(), own.clone()]
    });
    for left in [".others.4194304/precious", &format!("{own}/lock")] {
        fs::remove_file(folder.0.join(left)).expect("it is there");
    }
    for left in [".others.4194304", &own] {
        fs::remove_dir(folder.0.join(left)).expect("it is there");
    }
}

#[test]
fn options_that_are_wrong_are_refused_in_their_own_terms() {
    let folder = RunFolder::new();
    let image = "target/test-images/serves-tcp";
    for (option, value, says) in [
        ("--tap", "t0,mac=zz", "mac: \"zz\""),
        ("--tap", "t0,queue=100", "queue: \"100\" is not a power of two"),
        ("--tap", "t0,mtu=65522", "from 68 to 65521"),
        ("--tap", "t0,offload=maybe", "offload: \"maybe\" is neither on nor off"),
        ("--net", "vhost-user=/s,mac=zz", "mac: \"zz\""),
        ("--net", "vhost-user=/s,wait=soon", "wait: \"soon\""),
        ("--poll", "foo", "neither `always` nor a number"),
        ("--memory", "0", "--memory"),
    ] {
        folder.run(&["run", image, option, value]).ends(status::CONFIGURATION_REFUSED, says);
    }
    folder
        .run(&["run", "firewall.click", "--network", "blue", "--poll", "50"])
        .ends(status::CONFIGURATION_REFUSED, "--poll");
    assert!(folder.left().is_empty());
}

#[test]
fn ps_says_that_its_node_does_not_answer() {
    let folder = RunFolder::new();
    let nowhere = root().join("target/no-such-node.sock");
    let outcome = run(folder.microvisor(&["ps"]).env("MICROVISOR_NODE", nowhere));
    outcome.ends(status::HOST, "the node does not answer");
    assert!(outcome.out.contains("NAME"), "{outcome:?}");
}

#[test]
fn monitor_whose_starter_has_ended_already_ends() {
    let mut dead = Command::new("true").spawn().expect("it starts");
    let pid = dead.id();
    dead.wait().expect("a child");
    assert!(!is_alive(pid));
    let mut monitor = e2e::monitor("exits", "");
    run(monitor.arg(format!("--die-with-parent={pid}"))).ends(status::HOST, "has ended");
}

#[test]
fn configuration_that_uses_an_address_which_is_not_given_is_refused_with_the_option() {
    let folder = RunFolder::new();
    let file = std::env::temp_dir().join(format!("{}.click", unique("addr")));
    fs::write(&file, "FromDevice(eth0) -> ARPResponder(eth0) -> Queue -> ToDevice(eth0);\nIdle -> IPFilter(allow src eth0:ip) -> Discard;")
        .expect("written");
    let (path, tap) = (file.display().to_string(), unique("t"));
    let outcome = folder.run(&["run", &path, "--tap", &tap]);
    outcome.ends(status::CONFIGURATION_REFUSED, &path);
    assert!(outcome.err.contains(":1:") && outcome.err.contains("guest=ADDRESS/LENGTH"), "{outcome:?}");
    assert!(!std::path::Path::new("/sys/class/net").join(&tap).exists(), "nothing is started");
    let _ = fs::remove_file(&file);
}

#[test]
fn addresses_that_cannot_work_are_warned_of() {
    let folder = RunFolder::new();
    for (rest, says) in [
        ("address=10.91.0.2/24,guest=10.91.0.2/24", "the host's own address"),
        ("address=10.91.0.2/24,guest=10.92.0.1/24", "outside the subnet of the host"),
        ("address=10.91.0.2/24,guest=10.91.0.1/24,gateway=10.92.0.2", "outside the guest's subnet"),
    ] {
        let host = e2e::net::Namespace::new();
        let tap = format!("t0,netns={},{rest}", host.name);
        let line = ["run", "target/test-images/serves-tcp", "--tap", &tap, "--detach", "--name", "doubtful"];
        let outcome = folder.run(&line);
        outcome.ends(0, says);
        assert!(outcome.err.contains("warning: --tap t0"), "{outcome:?}");
        folder.run(&["stop", "doubtful"]).ends(0, "");
        folder.is_empty_soon();
    }
}

#[test]
fn the_user_s_tap_keeps_its_settings() {
    let (folder, host) = (RunFolder::new(), e2e::net::Namespace::new());
    host.ip(&["tuntap", "add", "dev", "t0", "mode", "tap"]);
    let before = host.tap_settings("t0");
    let tap = format!("t0,netns={}", host.name);
    let line = ["run", "target/test-images/serves-tcp", "--tap", &tap, "--name", "guest"];
    let kept = |what: &str| {
        eventually(what, || !folder.0.join("guest").exists() && host.tap_settings("t0") == before)
    };
    for end in ["SIGTERM", "SIGKILL"] {
        folder.run(&[&line[..], &["--detach"]].concat()).ends(0, "");
        let listed = folder.run(&["ps", "--json"]).out;
        let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
        let pid = listed[0]["pid"].as_u64().expect("a process");
        assert!(!before.contains(&host.tap_kind("t0")), "the guest has made it another one");
        e2e::signal(pid as u32, end);
        kept(&format!("it is as it was after a guest in the background, {end}"));
    }
    let running = e2e::start(folder.microvisor(&line).stdin(Stdio::null()));
    eventually("it runs", || folder.run(&["ps"]).out.contains("guest"));
    e2e::signal(running.id(), "SIGINT");
    e2e::finish(running);
    kept("it is as it was after a guest in the foreground");
}

/// Runs the command for the node in a folder.
fn ask_node(folder: &RunFolder, node: &Node, line: &[&str]) -> e2e::Outcome {
    run(folder.microvisor(line).env("MICROVISOR_NODE", node.folder.join("run/api.sock")))
}

#[test]
fn a_name_is_one_instance_s_with_the_node_and_without() {
    let folder = RunFolder::new();
    let mut node = Node::idle(e2e::program("microvisor-node"), &[]);
    node.environment.push(("MICROVISOR_RUN_DIR", folder.0.display().to_string()));
    node.start();
    node.post("/v1/instances?defer=true", &json!({ "name": "one", "image": "hello" })).is(201);
    let image = "target/test-images/echoes-console";
    ask_node(&folder, &node, &["run", image, "--detach", "--name", "one"])
        .ends(status::HOST, "instance of the node");
    assert_eq!(folder.left(), Vec::<String>::new());
    ask_node(&folder, &node, &["run", image, "--detach", "--name", "two"]).ends(0, "");
    let refused = node.post("/v1/instances", &json!({ "name": "two", "image": "hello" })).is(409);
    assert!(refused["detail"].as_str().is_some_and(|d| d.contains("without the node")), "{refused}");
    assert_eq!(node.get("/v1/instances/two").status, 404);
    // A name that the command makes up is another.
    node.post("/v1/instances?defer=true", &json!({ "name": "echoes-console", "image": "hello" })).is(201);
    let made_up = ask_node(&folder, &node, &["run", image, "--detach"]);
    made_up.ends(0, "");
    assert_eq!(made_up.out.trim(), "echoes-console-2");
    for name in ["two", "echoes-console-2"] {
        ask_node(&folder, &node, &["stop", name]).ends(0, "");
    }
    folder.is_empty_soon();
}

#[test]
fn what_run_promises_holds_with_the_node_or_is_refused() {
    let folder = RunFolder::new();
    let node = Node::new();
    node.post("/v1/networks", &json!({ "name": "blue", "subnet": "10.93.0.0/24" })).is(201);
    let file = "examples/firewall.click";
    ask_node(&folder, &node, &["run", file, "--network", "blue", "--config", file])
        .ends(status::CONFIGURATION_REFUSED, "--config");
    let shown = ask_node(&folder, &node, &["run", file, "--network", "blue", "--timeline"]);
    shown.ends(0, "spawn");
    let shown =
        ask_node(&folder, &node, &["run", file, "--network", "blue", "--name", "b", "--timeline=json"]);
    shown.ends(0, "spans");
}

#[test]
fn up_counts_from_the_start() {
    let folder = RunFolder::new();
    let node = Node::new();
    let up = || {
        let outcome = ask_node(&folder, &node, &["ps"]);
        let line = outcome.out.lines().find(|l| l.starts_with("late")).expect("it is listed").to_owned();
        line.split_whitespace().skip(2).take(2).collect::<Vec<_>>().join(" ")
    };
    let spec = e2e::node::spec("firewall.click", &json!({ "name": "late" }));
    node.post("/v1/networks", &json!({ "name": "blue" })).is(201);
    let config = "FromDevice(eth0) -> Discard;";
    let spec = {
        let mut spec = spec;
        spec["config"] = config.into();
        spec
    };
    node.post("/v1/instances?defer=true", &spec).is(201);
    assert!(up().starts_with("- "), "{}", up());
    std::thread::sleep(Duration::from_secs(4));
    node.post("/v1/instances/late/start", &serde_json::Value::Null).is(200);
    let seconds: u64 = up().split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
    assert!(seconds < 3, "{seconds}");
}

#[test]
fn image_that_is_too_long_is_refused_in_plain_words() {
    let folder = RunFolder::new();
    let node = Node::new();
    let file = std::env::temp_dir().join(unique("long"));
    let length = (512 << 20) + 1;
    File::create(&file).and_then(|f| f.set_len(length)).expect("a sparse file");
    let path = file.display().to_string();
    ask_node(&folder, &node, &["image", "import", &path, "--name", "long"])
        .ends(status::CONFIGURATION_REFUSED, "an image has at most 512");
    let _ = fs::remove_file(&file);
}

#[test]
fn user_without_permission_is_told_so() {
    let folder = RunFolder::new();
    let node = Node::new();
    let socket = node.folder.join("run/api.sock").display().to_string();
    let command = folder.microvisor(&["logs", "any"]).get_program().to_owned();
    for words in [&["logs", "any"][..], &["ps"], &["net", "ls"]] {
        let mut line = Command::new("setpriv");
        line.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&command).args(words);
        line.env("MICROVISOR_NODE", &socket).env("MICROVISOR_RUN_DIR", &folder.0);
        run(&mut line).ends(status::PERMISSION, "no permission to ask the node");
    }
}

#[test]
fn signal_while_a_switch_is_waited_for_is_obeyed_at_once_and_no_socket_is_left() {
    let folder = RunFolder::new();
    let socket = std::env::temp_dir().join(unique("never"));
    for (server, detach, background) in [
        (false, false, false),
        (true, false, false),
        (true, true, false),
        (false, false, true),
        (true, true, true),
    ] {
        let server = if server { ",server=on" } else { "" };
        let net = format!("vhost-user={}{server},wait=30", socket.display());
        let mut line = vec!["run", "target/test-images/serves-tcp", "--net", &net, "--name", "waits"];
        line.extend(detach.then_some("--detach"));
        let mut command = folder.microvisor(&line);
        if background {
            // As a shell starts what it has in the background.
            let plain = command;
            command = Command::new("sh");
            command
                .args(["-c", "trap '' INT; exec \"$@\"", "sh"])
                .arg(plain.get_program())
                .args(plain.get_args());
            command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
            if let Some(folder) = plain.get_current_dir() {
                command.current_dir(folder);
            }
        }
        let child = e2e::start(command.stdin(Stdio::null()));
        std::thread::sleep(Duration::from_millis(700));
        let begun = std::time::Instant::now();
        e2e::signal(child.id(), "INT");
        let outcome = e2e::finish(child);
        assert_eq!(outcome.status, 128 + libc::SIGINT, "{net}: {outcome:?}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{net}: {:?}", begun.elapsed());
        eventually("no socket is left", || !socket.exists());
        folder.is_empty_soon();
    }
}

#[test]
fn guest_that_runs_out_of_memory_at_its_start_says_so_in_the_background() {
    let folder = RunFolder::new();
    let file = std::env::temp_dir().join(format!("{}.click", unique("big")));
    let text: String = (0..6000).map(|n| format!("a{n} :: Queue(1000); Idle -> a{n} -> Idle;\n")).collect();
    fs::write(&file, text).expect("written");
    let path = file.display().to_string();
    let outcome = folder.run(&["run", &path, "--memory", "2", "--detach"]);
    let _ = fs::remove_file(&file);
    outcome.ends(101, "memory allocation");
    assert!(outcome.err.contains("--memory"), "{outcome:?}");
}
