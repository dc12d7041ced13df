//! Any bytes as a capture, a summary or tcpdump's text: an end or an error, in bounded time, and packets that can be
//! summed up.
#![no_main]

use click::{Progress, Source};
use click_host::host::ProcessHost;
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

/// Elements that read a file, with the packets in it as IP packets or as they are.
const READERS: &[&str] = &[
    "FromDump($FILE, STOP true, FORCE_IP true) -> CheckIPHeader -> Strip(4) -> Unstrip(4) -> all",
    "FromDump($FILE, STOP true) -> all",
    "FromIPSummaryDump($FILE, STOP true, ZERO true, CHECKSUM true) -> all",
    "FromIPSummaryDump($FILE, STOP true, DEFAULT_FIELDS timestamp ip_src sport ip_dst dport ip_proto tcp_flags) -> all",
    "FromTcpdump($FILE, STOP true) -> all",
];

/// What every packet goes through.
const ALL: &str = "all :: ToIPSummaryDump(/dev/null, FIELDS timestamp ts_usec1 ip_src ip_dst ip_len ip_proto ip_id
    ip_frag ip_fragoff sport dport tcp_seq tcp_ack tcp_flags tcp_window udp_len icmp_type payload_len payload count
    ip_opt tcp_opt icmp_flowid icmp_code_name eth_src, BAD_PACKETS true)
    -> ToIPSummaryDump(/dev/null, FIELDS ntimestamp ip_opt tcp_sack eth_src ip_frag, BINARY true)
    -> ToDump(/dev/null, ENCAP IP) -> Discard;\n";

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder =
        if fs::exists("/dev/shm").unwrap_or(false) { "/dev/shm".into() } else { std::env::temp_dir() };
    folder.join(format!("click_traces.{}", std::process::id()))
});

thread_local! {
    // One for all inputs: each takes signal handlers for good.
    static DESK: RefCell<ProcessHost> = RefCell::new({
        let file = FILE.to_str().expect("UTF-8").to_string();
        ProcessHost::new(vec![("FILE".into(), file)], false).expect("signals")
    });
}

fuzz_target!(|input: (u8, &[u8])| {
    let (choice, bytes) = input;
    fs::write(&*FILE, bytes).expect("the file is written");
    let text = format!("{ALL}{};", READERS[usize::from(choice) % READERS.len()]);
    DESK.with_borrow_mut(|fuzz_host| {
        // A file that begins wrong is refused here.
        let Ok(mut router) = fuzz_host.router(&Source { name: "traces.click", text: &text }) else { return };
        let mut rounds = 0;
        while router.run(fuzz_host, 64) == Progress::Busy {
            rounds += 1;
            assert!(rounds < 100_000, "it goes on and on");
        }
    });
    fs::remove_file(&*FILE).expect("the file is removed");
});
