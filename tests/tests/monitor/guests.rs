//! What guests must not be able to do, each tried by a guest of its own (`guests/tests/src/bin/`).

use e2e::net::Namespace;
use e2e::{Outcome, finish, guest, monitor, run, signal, start, unique};
use std::process::Stdio;
use std::time::{Duration, Instant};

const FAULT: u8 = machine::status::GUEST_FAULT;

#[track_caller]
fn faults(name: &str, cases: &[&str], says: &str) {
    for case in cases {
        let outcome = guest(name, case);
        assert_eq!(outcome.status, i32::from(FAULT), "{name} {case}: {outcome:?}");
        assert!(outcome.err.contains("guest fault: "), "{name} {case}: {outcome:?}");
        assert!(outcome.err.contains(says), "{name} {case}: {outcome:?}");
    }
}

#[test]
fn guest_cannot_write_its_text() {
    guest("writes-text", "").ends(FAULT, "page fault (#PF) writing");
}

#[test]
fn guest_cannot_write_its_constants() {
    faults("writes-constants", &["constant", "header", "boot", "words"], "page fault (#PF) writing");
}

#[test]
fn guest_cannot_execute_what_it_can_write() {
    faults(
        "executes-data",
        &["heap", "stack", "data", "rings", "constants", "boot"],
        "page fault (#PF) executing",
    );
}

#[test]
fn guest_cannot_run_off_its_stack() {
    faults("overruns-stack", &["recursion", "above", "below"], "page fault (#PF) writing");
}

#[test]
fn guest_cannot_read_outside_its_memory() {
    let cases =
        ["null", "low", "hole", "monitor", "tables", "behind-image", "beyond", "far", "kernel", "odd"];
    faults("reads-outside", &cases, "");
}

#[test]
fn guest_without_a_stack_still_ends_by_a_fault() {
    faults("loses-stack", &["fault", "push", "odd", "monitor"], "");
}

#[test]
fn guest_cannot_leave_ring_3() {
    let source = include_str!("../../../guests/tests/src/bin/leaves-ring-3.rs");
    let cases: Vec<&str> = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix('"')?.split_once("\": ").map(|(name, _)| name))
        .collect();
    assert!(cases.len() > 20, "{cases:?}");
    faults("leaves-ring-3", &cases, "");
}

#[test]
fn guest_cannot_bring_descriptor_tables() {
    faults("forges-tables", &["lgdt", "lidt", "lldt", "ltr", "at-zero", "stub", "call-gate"], "");
    for page in ["0", "1", "3", "4", "5"] {
        let case = ["--set", "case=in-place", "--set", &format!("page={page}")];
        run(monitor("forges-tables", "").args(case)).ends(FAULT, "page fault (#PF) writing");
    }
}

#[test]
fn hypercalls_do_nothing_and_text_stays_as_it_is() {
    for case in ["vmcall", "vmmcall"] {
        let outcome = guest("calls-hypervisor", case);
        let refused = outcome.status == 0 && outcome.out.contains("refused");
        assert!(refused || outcome.status == i32::from(FAULT), "{case}: {outcome:?}");
    }
}

#[test]
fn registers_take_stores_of_their_size_alone() {
    let cases = [
        "yield-4",
        "yield-2",
        "ready-8",
        "ready-1",
        "exit-8",
        "exit-1",
        "doorbell-8",
        "doorbell-1",
        "doorbell-unused",
        "hole",
        "last",
        "misaligned",
        "straddle",
        "load",
        "load-doorbell",
        "sse",
        "avx",
        "string",
        "exchange",
        "add",
        "push",
        "execute",
        "fault-register",
    ];
    faults("abuses-registers", &cases, "");
    guest("abuses-registers", "doorbell").ends(0, "");
}

/// Runs a guest on a TAP in a namespace; packets arrive there all the time.
fn on_a_tap(name: &str, case: &str) -> Outcome {
    let namespace = Namespace::new();
    let tap = unique("t");
    namespace.ip(&["tuntap", "add", "mode", "tap", "vnet_hdr", "name", &tap]);
    namespace.ip(&["addr", "add", "10.9.0.2/24", "dev", &tap]);
    namespace.ip(&["link", "set", &tap, "up"]);
    let vmm = monitor(name, case);
    let mut command = namespace.command(&[vmm.get_program().to_str().expect("UTF-8")]);
    command.args(vmm.get_args()).args(["--net", &format!("tap={tap}")]);
    let child = start(command.stdin(Stdio::null()));
    let socket = namespace.udp("10.9.0.2:0");
    let deadline = Instant::now() + Duration::from_secs(10);
    let waits = std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while waits.load(std::sync::atomic::Ordering::Relaxed) && Instant::now() < deadline {
                let _ = socket.send_to(b"anything", "10.9.0.255:9");
                let _ = socket.send_to(b"anything", "10.9.0.1:9");
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let outcome = finish(child);
        waits.store(false, std::sync::atomic::Ordering::Relaxed);
        outcome
    })
}

#[test]
fn devices_reach_guest_memory_alone() {
    let targets = [
        "text",
        "constants",
        "tables",
        "stack",
        "registers",
        "null",
        "beyond",
        "straddle",
        "before",
        "wrap",
        "long",
    ];
    for target in targets {
        on_a_tap("aims-dma", &format!("transmit-{target}")).ends(FAULT, "net device 0, transmit queue: ");
        on_a_tap("aims-dma", &format!("receive-{target}")).ends(FAULT, "net device 0, receive queue: ");
    }
}

#[test]
fn garbage_in_packet_rings_is_the_guests_fault() {
    let cases = [
        "runaway",
        "backwards",
        "descriptor",
        "next",
        "loop",
        "empty",
        "short",
        "long",
        "direction",
        "mixed",
        "indirect",
        "transmit-random",
    ];
    for case in cases {
        on_a_tap("garbles-rings", case).ends(FAULT, "net device 0, transmit queue: ");
    }
    for case in ["receive-short", "receive-direction", "receive-loop", "receive-runaway"] {
        on_a_tap("garbles-rings", case).ends(FAULT, "net device 0, receive queue: ");
    }
    on_a_tap("garbles-rings", "shuffled").ends(0, "");
}

#[test]
fn garbage_in_the_control_ring_is_the_guests_fault() {
    guest("garbles-rings", "control-runaway").ends(FAULT, "control ring claims");
    guest("garbles-rings", "control-length").ends(FAULT, "control message of");
    guest("garbles-rings", "control-unknown").ends(0, "");
}

#[test]
fn guest_that_never_yields_can_be_stopped() {
    let child = start(monitor("spins", "").stdin(Stdio::null()));
    let pid = child.id();
    std::thread::sleep(Duration::from_millis(100));
    signal(pid, "TERM");
    let begun = Instant::now();
    let outcome = finish(child);
    assert_eq!(outcome.status, 128 + libc::SIGTERM, "{outcome:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
}

#[test]
fn guest_cannot_drown_its_monitor() {
    for (case, count) in [
        ("console", 20_000),
        ("bytes", 20_000),
        ("doorbell", 3000),
        ("ready", 3000),
        ("yield", 3000),
        ("past", 3000),
    ] {
        let count = format!("count={count}");
        run(monitor("floods", case).args(["--set", &count])).ends(0, "");
    }
}

#[test]
fn exit_codes_are_the_guests_own() {
    for (code, status) in [(0, 0), (7, 7), (119, 119), (4711, 119)] {
        run(monitor("exits", "").args(["--set", &format!("code={code}")])).ends(status, "");
    }
}

#[test]
fn panic_says_where() {
    for case in ["message", "overflow", "heap"] {
        let outcome = guest("panics", case);
        assert_eq!(outcome.status, 101, "{case}: {outcome:?}");
        assert!(outcome.out.contains("panics.rs:") || case == "heap", "{case}: {outcome:?}");
    }
    assert_eq!(guest("panics", "error").status, 1);
}

#[test]
fn deadlines_are_kept() {
    guest("sleeps", "").ends(0, "");
}

#[test]
fn boot_page_says_what_was_asked_for() {
    let config = e2e::root().join("README.md");
    let mut command = monitor("tells-boot", "x");
    command.args(["--memory", "3", "--poll", "7", "--config"]).arg(&config);
    let outcome = run(&mut command);
    outcome.ends(0, "");
    let length = std::fs::metadata(config).expect("README.md is there").len();
    for line in ["memory 0x10000000 3145728", "poll-ns 7000", "word case x", &format!("config {length}")] {
        assert!(outcome.out.contains(line), "{line:?}: {outcome:?}");
    }
}
