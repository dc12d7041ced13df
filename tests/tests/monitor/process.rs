//! The monitor as a process: console, signals, missing things, leftovers.

use e2e::net::Namespace;
use e2e::{eventually, finish, image, is_alive, monitor, program, run, signal, start, unique};
use machine::control::{Client, Request, Response};
use machine::status;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn hello_says_hello() {
    let outcome = run(Command::new(program("microvisor-vmm")).arg("--image").arg(image("hello")));
    outcome.ends(0, "");
    assert!(outcome.out.to_lowercase().contains("hello"), "{outcome:?}");
}

#[test]
fn what_is_typed_reaches_the_guest() {
    let mut child = start(monitor("echoes-console", "").stdin(Stdio::piped()));
    let mut input = child.stdin.take().expect("piped");
    input.write_all(b"a line\n").expect("the monitor reads");
    std::thread::sleep(Duration::from_millis(100));
    input.write_all(b"quit\n").expect("the monitor reads");
    let outcome = finish(child);
    outcome.ends(0, "");
    assert!(outcome.out.contains("a line"), "{outcome:?}");
}

#[test]
fn signal_asks_the_guest_to_stop() {
    for (name, number) in [("INT", libc::SIGINT), ("TERM", libc::SIGTERM), ("HUP", libc::SIGHUP)] {
        let child = start(monitor("echoes-console", "").stdin(Stdio::null()));
        let pid = child.id();
        std::thread::sleep(Duration::from_millis(100));
        signal(pid, name);
        let outcome = finish(child);
        assert_eq!(outcome.status, 128 + number, "{outcome:?}");
        assert!(outcome.out.contains("asked to stop"), "{outcome:?}");
    }
}

#[test]
fn deaf_guest_is_ended_after_its_grace() {
    let child = start(monitor("echoes-console", "").args(["--set", "deaf=1"]).stdin(Stdio::null()));
    let pid = child.id();
    std::thread::sleep(Duration::from_millis(100));
    let begun = Instant::now();
    signal(pid, "TERM");
    let outcome = finish(child);
    assert_eq!(outcome.status, 128 + libc::SIGTERM, "{outcome:?}");
    assert!((1500..4000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
}

#[test]
fn second_signal_does_not_wait() {
    let child = start(monitor("echoes-console", "").args(["--set", "deaf=1"]).stdin(Stdio::null()));
    let pid = child.id();
    std::thread::sleep(Duration::from_millis(100));
    signal(pid, "INT");
    std::thread::sleep(Duration::from_millis(50));
    let begun = Instant::now();
    signal(pid, "INT");
    assert_eq!(finish(child).status, 128 + libc::SIGINT);
    assert!(begun.elapsed() < Duration::from_millis(1000), "{:?}", begun.elapsed());
}

#[test]
fn reader_that_stops_reading_does_not_stop_the_guest() {
    let mut child = start(monitor("floods", "console").args(["--set", "count=20000"]).stdin(Stdio::null()));
    let mut pipe = child.stdout.take().expect("piped");
    // Nobody reads: 1.5 MB are printed, and a pipe holds 64 KiB.
    eventually("the guest ends", || child.try_wait().expect("a child can be waited for").is_some());
    assert_eq!(child.wait().expect("it ended").code(), Some(0));
    let mut text = String::new();
    pipe.read_to_string(&mut text).expect("text");
    assert!(text.len() < 300_000 && text.starts_with("line 0"), "{} bytes", text.len());
}

#[test]
fn reader_that_goes_away_does_not_stop_the_guest() {
    let mut child = start(monitor("floods", "console").args(["--set", "count=2000"]).stdin(Stdio::null()));
    drop(child.stdout.take());
    assert_eq!(finish(child).status, 0);
}

#[test]
fn killed_monitor_leaves_nothing() {
    let namespace = Namespace::new();
    let tap = unique("t");
    let vmm = program("microvisor-vmm");
    let mut command = namespace.command(&[vmm.to_str().expect("UTF-8"), "--image"]);
    command.arg(image("tells-boot")).args(["--set", "stay=1", "--net", &format!("tap={tap}")]);
    // The guest may end by itself; one that does not is `spins`, which has no device, so both ends are looked at.
    let child = start(command.stdin(Stdio::null()));
    let pid = child.id();
    let _ = finish(child);
    eventually("the TAP is gone", || !namespace.devices().contains(&tap));
    assert!(!is_alive(pid));

    let child = start(monitor("spins", "").stdin(Stdio::null()));
    let pid = child.id();
    std::thread::sleep(Duration::from_millis(50));
    signal(pid, "KILL");
    assert_eq!(finish(child).status, 128 + libc::SIGKILL);
    assert!(!is_alive(pid));
}

#[test]
fn monitor_has_no_privileges_once_the_guest_runs() {
    let child = start(monitor("spins", "").stdin(Stdio::null()));
    let pid = child.id();
    let status = || fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    eventually("the filter is in force", || status().contains("Seccomp:\t2"));
    let text = status();
    for line in ["CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains("Uid:\t0\t"), "{text}");
    for thread in fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").flatten() {
        let text = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        assert!(text.contains("Seccomp:\t2"), "{text}");
    }
    assert_eq!(fs::read_link(format!("/proc/{pid}/root")).ok().filter(|r| r.as_os_str() == "/"), None);
    signal(pid, "KILL");
    let _ = finish(child);
}

#[test]
fn name_that_is_taken() {
    let namespace = Namespace::new();
    let tap = unique("t");
    let start_one = || {
        let vmm = program("microvisor-vmm");
        let mut command = namespace.command(&[vmm.to_str().expect("UTF-8"), "--image"]);
        command.arg(image("serves-tcp")).args(["--net", &format!("tap={tap},ipv4=10.9.0.1/24")]);
        start(command.stdin(Stdio::null()))
    };
    let first = start_one();
    eventually("the TAP is there", || namespace.devices().contains(&tap));
    std::thread::sleep(Duration::from_millis(50));
    finish(start_one()).ends(status::HOST, "in use by another process");
    let pid = first.id();
    signal(pid, "KILL");
    let _ = finish(first);
    let lo = namespace.command(&[program("microvisor-vmm").to_str().expect("UTF-8"), "--image"]);
    let mut lo = lo;
    lo.arg(image("serves-tcp")).args(["--net", "tap=lo"]);
    run(&mut lo).ends(status::HOST, "is not a TAP");
}

/// Programs and guests where an ordinary user may reach them; removed with this.
struct Reachable(PathBuf);

impl Reachable {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(unique("nobody"));
        fs::create_dir(&folder).expect("new");
        fs::copy(program("microvisor-vmm"), folder.join("microvisor-vmm")).expect("copied");
        for guest in ["hello", "spins"] {
            fs::copy(image(guest), folder.join(guest)).expect("copied");
        }
        run(Command::new("chmod").args(["-R", "a+rwx"]).arg(&folder));
        Self(folder)
    }

    /// The monitor with a guest, as a user without rights who is of a group.
    fn monitor(&self, group: u32, guest: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", &format!("--regid={group}"), "--clear-groups"]);
        command.arg(self.0.join("microvisor-vmm")).arg("--image").arg(self.0.join(guest));
        command
    }
}

impl Drop for Reachable {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn no_permission_on_kvm() {
    let outcome = run(&mut Reachable::new().monitor(65534, "hello"));
    outcome.ends(status::PERMISSION, "no permission to open /dev/kvm");
}

#[test]
fn an_ordinary_user_s_monitor_says_its_number_and_goes_on() {
    let (reachable, group) = (Reachable::new(), fs::metadata("/dev/kvm").expect("KVM").gid());
    let socket = reachable.0.join("control.sock");
    let child = start(reachable.monitor(group, "spins").arg("--control").arg(&socket).stdin(Stdio::null()));
    let pid = child.id();
    eventually("it listens", || Client::connect(&socket).is_ok());
    for _ in 0..2 {
        let mut client = Client::connect(&socket).expect("it listens");
        match client.call(&Request::Inspect, Duration::from_secs(5)) {
            Ok(Response::Instance(instance)) => assert_eq!(instance.pid, pid),
            other => panic!("{other:?}"),
        }
    }
    signal(pid, "KILL");
    let _ = finish(child);
}

#[test]
fn command_line_that_makes_no_sense() {
    let vmm = |arguments: &[&str]| run(Command::new(program("microvisor-vmm")).args(arguments));
    vmm(&[]).ends(status::CONFIGURATION_REFUSED, "--image is missing");
    vmm(&["--wrong"]).ends(status::CONFIGURATION_REFUSED, "--wrong");
    let hello = image("hello");
    let hello = hello.to_str().expect("UTF-8");
    vmm(&["--image", hello, "--net", "tap=x"]).ends(status::CONFIGURATION_REFUSED, "0 to 0 net devices");
    vmm(&["--image", hello, "--config", hello]).ends(status::CONFIGURATION_REFUSED, "takes no configuration");
    vmm(&["--image", hello, "--control", "/no/such/folder/s"]).ends(status::HOST, "control socket");
    assert_eq!(vmm(&["--help"]).status, 0);
}
