//! What a guest that owns its monitor can reach: the monitor's own threads try, at a tracer's word.

use e2e::eventually;
use e2e::node::{Node, spec};
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

fn start(node: &Node, name: &str, more: &Value) -> u32 {
    let mut spec = spec("mirror.click", more);
    spec["name"] = name.into();
    let instance = node.post("/v1/instances", &spec).is(201);
    instance["pid"].as_u64().and_then(|pid| pid.try_into().ok()).expect("it runs")
}

fn site(options: &[&str]) -> Node {
    let node = Node::with(options);
    node.post("/v1/networks", &json!({ "name": "blue", "subnet": "10.86.0.0/24" })).is(201);
    node
}

fn proc(pid: u32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default()
}

fn namespace(pid: &str, kind: &str) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap_or_default()
}

/// What a monitor is in.
fn is_kept_apart(node: &Node, pid: u32) {
    for kind in ["mnt", "pid", "ipc", "net"] {
        let (own, ours) = (namespace(&pid.to_string(), kind), namespace("self", kind));
        assert!(own != ours && !own.as_os_str().is_empty(), "{kind}: {own:?}");
    }
    let mounts = proc(pid, "mountinfo");
    assert_eq!(mounts.lines().count(), 1, "{mounts}");
    assert!(mounts.contains(" / / ro,nosuid,nodev,noexec"), "{mounts}");
    let status = proc(pid, "status");
    for line in
        ["CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "CapBnd:", "NoNewPrivs:\t1", "Seccomp:\t2"]
    {
        assert!(status.contains(line), "{line}: {status}");
    }
    assert!(status.lines().any(|l| l.starts_with("NSpid:") && l.ends_with("\t1")), "{status}");
    let user = (0x4d56_0000 + pid).to_string();
    for line in
        [format!("Uid:\t{user}\t{user}\t{user}\t{user}"), format!("Gid:\t{user}\t{user}\t{user}\t{user}")]
    {
        assert!(status.contains(&line), "{line}: {status}");
    }
    assert!(status.contains("Groups:\t \n"), "{status}");
    let limits = proc(pid, "limits");
    for line in [
        "Max core file size        0                    0",
        "Max open files            512                  512",
    ] {
        assert!(limits.contains(line), "{limits}");
    }
    let maps = proc(pid, "maps");
    let image: Vec<&str> = maps.lines().filter(|l| l.contains("/memfd:copy ")).collect();
    assert!(!image.is_empty() && image.iter().all(|l| l.contains(" r--s ")), "{maps}");
    let group = format!("/{}/", node.group());
    let groups = proc(pid, "cgroup");
    assert!(groups.lines().filter(|l| l.contains(&group)).count() >= 1, "{groups}");
}

/// A file of the group that a process is in, by what the kernel says and where hierarchies are mounted.
fn controlled(pid: u32, controller: &str, first: &str, second: &str) -> u64 {
    let groups = proc(pid, "cgroup");
    let path = |name: &str| {
        groups
            .lines()
            .find_map(|l| l.split_once(':')?.1.split_once(':').filter(|(c, _)| *c == name))
            .map(|(_, p)| p)
    };
    let mount = |kind: &str, option: &str| {
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let found = mounts
            .lines()
            .map(|l| l.split(' ').collect::<Vec<_>>())
            .find(|w| w[2] == kind && (option.is_empty() || w[3].split(',').any(|o| o == option)))?;
        Some(found[1].to_owned())
    };
    let file = match (mount("cgroup", controller), path(controller)) {
        (Some(mount), Some(path)) => format!("{mount}{path}/{first}"),
        _ => format!("{}{}/{second}", mount("cgroup2", "").expect("mounted"), path("").expect("a group")),
    };
    fs::read_to_string(&file).ok().and_then(|t| t.trim().parse().ok()).unwrap_or_else(|| panic!("{file}"))
}

#[test]
fn monitors_have_users_namespaces_and_limits_of_their_own() {
    let node = site(&["--prepared", "1"]);
    node.post("/v1/flavors", &json!({ "name": "small", "cpu_shares": 2 })).is(201);
    node.post("/v1/flavors", &json!({ "name": "none", "cpu_shares": 1 })).is(422);
    eventually("a guest is prepared", || node.get("/v1/status").json["prepared"] == 1);
    let (warm, cold) =
        (start(&node, "warm", &json!({ "flavor": "small" })), start(&node, "cold", &json!({})));
    for pid in [warm, cold] {
        is_kept_apart(&node, pid);
    }
    let of = |kind| (namespace(&warm.to_string(), kind), namespace(&cold.to_string(), kind));
    let (warm_net, cold_net) = of("net");
    assert_eq!(warm_net, cold_net);
    let (warm_pid, cold_pid) = of("pid");
    assert_ne!(warm_pid, cold_pid);
    assert!(matches!(controlled(warm, "cpu", "cpu.shares", "cpu.weight"), 1 | 2));
    assert!(matches!(controlled(cold, "cpu", "cpu.shares", "cpu.weight"), 1024 | 100));
    assert_eq!(controlled(warm, "memory", "memory.limit_in_bytes", "memory.max"), (16 + 64) << 20);
}

#[test]
fn the_image_that_instances_share_cannot_be_changed() {
    let node = site(&[]);
    start(&node, "a", &json!({}));
    let open = fs::read_dir(format!("/proc/{}/fd", node.pid())).expect("its descriptors").flatten();
    let is_copy = |e: &fs::DirEntry| {
        fs::read_link(e.path()).is_ok_and(|link| link.to_string_lossy().starts_with("/memfd:copy"))
    };
    let copies: Vec<PathBuf> = open.filter(is_copy).map(|e| e.path()).collect();
    assert!(!copies.is_empty());
    for path in copies {
        // Even for root, who may open it for writing.
        let file = File::options().read(true).write(true).open(path).expect("it opens");
        assert!(file.write_at(b"x", 0).is_err() && file.set_len(0).is_err());
    }
}

#[test]
fn groups_go_with_their_instances() {
    let mut node = site(&["--prepared", "1"]);
    eventually("a guest is prepared", || node.get("/v1/status").json["prepared"] == 1);
    let before = node.groups();
    start(&node, "a", &json!({}));
    eventually("another guest is prepared", || node.groups() == 2 * before);
    node.ask("DELETE", "/v1/instances/a?force=true", None, &[]).is(204);
    eventually("its groups are gone", || node.groups() == before);
    let pid = start(&node, "b", &json!({}));
    node.kill();
    e2e::signal(pid, "KILL");
    node.start();
    eventually("a guest is prepared again", || node.get("/v1/status").json["prepared"] == 1);
    eventually("nothing but its groups are there", || node.groups() == before);
    node.end();
    assert_eq!(node.groups(), 0);
    node.start();
}

#[test]
fn a_daemon_that_ends_while_guests_are_prepared_leaves_none() {
    let mut node = site(&["--prepared", "4"]);
    for milliseconds in 0..24 {
        std::thread::sleep(Duration::from_millis(milliseconds));
        node.end();
        assert_eq!((node.groups(), node.monitors()), (0, Vec::new()), "after {milliseconds} ms");
        node.start();
    }
}

/// Stops a thread of another process.
fn stop(thread: Pid) {
    ptrace::seize(thread, ptrace::Options::PTRACE_O_TRACESYSGOOD).expect("root may");
    ptrace::interrupt(thread).expect("it is traced");
    waitpid(thread, Some(WaitPidFlag::__WALL)).expect("it stops");
}

/// Has a stopped thread make a system call, and run on from there; how its process ends.
fn makes(thread: Pid, syscall: usize, number: i64, arguments: [u64; 3]) -> WaitStatus {
    let mut registers = ptrace::getregs(thread).expect("registers");
    // Not a system call that the kernel would want to start again.
    registers.orig_rax = u64::MAX;
    registers.rip = syscall as u64;
    registers.rax = number as u64;
    [registers.rdi, registers.rsi, registers.rdx] = arguments;
    ptrace::setregs(thread, registers).expect("it is stopped");
    ptrace::cont(thread, None).expect("it is stopped");
    loop {
        match waitpid(thread, Some(WaitPidFlag::__WALL)).expect("it is traced") {
            WaitStatus::Stopped(_, signal) => ptrace::cont(thread, signal).expect("it is stopped"),
            WaitStatus::PtraceEvent(..) => ptrace::cont(thread, None).expect("it is stopped"),
            ended => return ended,
        }
    }
}

/// Threads of a monitor that run its program: the vCPU's, the I/O thread, one for each device.
fn threads(pid: u32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").flatten();
    let mut threads: Vec<i32> = tasks
        // The kernel has one of its own there.
        .filter(|t| fs::read_to_string(t.path().join("comm")).is_ok_and(|name| !name.starts_with("kvm-")))
        .filter_map(|t| t.file_name().to_str()?.parse().ok())
        .collect();
    threads.sort_unstable();
    threads
}

/// Where a process has the two bytes of `syscall` in a program or library.
fn instruction(pid: u32, file: &str) -> usize {
    let maps = proc(pid, "maps");
    let text = maps.lines().find(|l| l.contains(" r-xp ") && l.contains(file)).expect("text");
    let (from, to) = text.split_once(' ').and_then(|(range, _)| range.split_once('-')).expect("a range");
    let [from, to] = [from, to].map(|n| usize::from_str_radix(n, 16).expect("a number"));
    let mut bytes = vec![0; to - from];
    let memory = File::open(format!("/proc/{pid}/mem")).expect("root may");
    memory.read_exact_at(&mut bytes, from as u64).expect("it is mapped");
    from + bytes.windows(2).position(|b| b == [0x0f, 0x05]).expect("system calls are made")
}

/// `F_SETSIG` (linux/fcntl.h).
const SET_SIGNAL: u64 = 10;

#[test]
fn a_monitor_that_is_owned_reaches_nothing() {
    let node = site(&[]);
    let probe = start(&node, "probe", &json!({}));
    let (count, syscall) = (threads(probe).len(), instruction(probe, "microvisor-vmm"));
    assert!(count >= 3);
    let at = libc::AT_FDCWD as u64;
    let attempts = [
        ("open a file", libc::SYS_openat, [at, syscall as u64, 0]),
        ("make a socket", libc::SYS_socket, [libc::AF_INET as u64, libc::SOCK_STREAM as u64, 0]),
        ("signal another process", libc::SYS_kill, [1, 0, 0]),
        ("signal one of its own", libc::SYS_kill, [0, 0, 0]),
        ("trace", libc::SYS_ptrace, [16, 1, 0]),
        ("read another's memory", libc::SYS_process_vm_readv, [1, 0, 0]),
        ("mount", libc::SYS_mount, [0, syscall as u64, 0]),
        ("make a process", libc::SYS_fork, [0, 0, 0]),
        ("be another program", libc::SYS_execve, [syscall as u64, 0, 0]),
        ("enter a namespace", libc::SYS_setns, [0, 0, 0]),
        ("make a namespace", libc::SYS_unshare, [libc::CLONE_NEWUSER as u64, 0, 0]),
        ("load a program into the kernel", libc::SYS_bpf, [0, 0, 0]),
        ("have another process signalled", libc::SYS_fcntl, [0, libc::F_SETOWN as u64, 1]),
        ("choose that signal", libc::SYS_fcntl, [1, SET_SIGNAL, libc::SIGKILL as u64]),
        ("open by a ring", libc::SYS_io_uring_setup, [1, 0, 0]),
    ];
    for number in 0..count {
        for (what, call, arguments) in attempts {
            let name = format!("t{number}-{call}-{}", arguments[0] & 0xff);
            let pid = start(&node, &name, &json!({ "restart": "never" }));
            let thread = Pid::from_raw(threads(pid)[number]);
            stop(thread);
            let end = makes(thread, syscall, call, arguments);
            assert!(
                matches!(end, WaitStatus::Signaled(_, Signal::SIGSYS, _)),
                "thread {number} could {what}: {end:?}"
            );
            let state = || node.get(&format!("/v1/instances/{name}")).json["state"].clone();
            eventually("the instance has failed", || state() == "failed");
        }
    }
    assert!(e2e::is_alive(probe), "another instance goes on");
}

#[test]
fn threads_that_read_packets_have_no_privileges() {
    let node = site(&[]);
    let switch =
        node.get("/v1/status").json["switch"].as_u64().and_then(|p| p.try_into().ok()).expect("it runs");
    let mut planes = 0;
    for task in fs::read_dir(format!("/proc/{switch}/task")).expect("it runs").flatten() {
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        assert!(status.contains("Seccomp:\t2") && status.contains("NoNewPrivs:\t1"), "{status}");
        if status.contains("Name:\tplane-") {
            planes += 1;
            assert!(status.contains("CapEff:\t0000000000000000\nCap"), "{status}");
            assert!(status.contains("CapPrm:\t0000000000000000\n"), "{status}");
        }
    }
    assert!(planes > 0);
    let thread = |name: &str| {
        let mut tasks = fs::read_dir(format!("/proc/{switch}/task")).expect("it runs").flatten();
        let found =
            tasks.find(|t| fs::read_to_string(t.path().join("comm")).is_ok_and(|n| n.starts_with(name)));
        found.and_then(|t| t.file_name().to_str()?.parse().ok()).map(Pid::from_raw).expect("it is there")
    };
    let (plane, syscall) = (thread("plane-"), instruction(switch, "libc.so"));
    stop(plane);
    let end = makes(plane, syscall, libc::SYS_openat, [libc::AT_FDCWD as u64, syscall as u64, 0]);
    assert!(matches!(end, WaitStatus::Signaled(_, Signal::SIGSYS, _)), "{end:?}");
    eventually("there is another switch", || {
        let now = node.get("/v1/status").json["switch"].as_u64();
        now.is_some() && now != Some(switch.into())
    });
}
