//! Captures and summaries, written and read back.

mod common;

use common::run;
use std::fs;

const LINES: &str = "!data timestamp ip_src sport ip_dst dport ip_proto payload_len
1.500000 10.0.0.1 1000 10.0.0.2 80 T 100
2.500000 10.0.0.1 1001 10.0.0.2 53 U 50
";

#[test]
fn a_summary_becomes_a_capture_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    fs::write(path("in"), LINES).unwrap();
    for nano in ["true", "false"] {
        let make = format!(
            "FromIPSummaryDump({}, STOP true, CHECKSUM true, ZERO true) -> CheckIPHeader -> CheckTCP :: Null
                -> EtherEncap(0x0800, 1:1:1:1:1:1, 2:2:2:2:2:2) -> ToDump({}, NANO {nano}) -> Discard",
            path("in"),
            path("dump")
        );
        assert_eq!(run(&["-e", &make]), (0, "".into(), "".into()));
        let back = format!(
            "FromDump({}, STOP true, FORCE_IP true)
                -> ToIPSummaryDump(-, FIELDS timestamp ip_src sport ip_dst dport ip_proto payload_len, HEADER true) -> Discard",
            path("dump")
        );
        let (status, out, err) = run(&["-e", &back]);
        assert_eq!((status, err.as_str()), (0, ""));
        assert_eq!(out.strip_prefix("!IPSummaryDump 1.3\n").unwrap(), LINES);
    }
}

/// A pcapng file of either byte order with one packet, in milliseconds.
fn next_generation(big: bool) -> Vec<u8> {
    let n32 = |v: u32| if big { v.to_be_bytes() } else { v.to_le_bytes() };
    let n16 = |v: u16| if big { v.to_be_bytes() } else { v.to_le_bytes() };
    let block = |kind: u32, body: &[u8]| {
        let length = n32(body.len() as u32 + 12);
        [&n32(kind)[..], &length, body, &length].concat()
    };
    let section = [&n32(0x1a2b_3c4d)[..], &n16(1), &n16(0), &[255; 8]].concat();
    let resolution = [&n16(9)[..], &n16(1), &[3, 0, 0, 0], &n32(0)].concat();
    let interface = [&n16(101)[..], &n16(0), &n32(0), &resolution].concat();
    let mut ip = [0; 20];
    ::click::headers::write_ipv4(&mut ip, 20, 1, 89, [1, 2, 3, 4], [5, 6, 7, 8]);
    let packet = [&n32(0)[..], &n32(0), &n32(1500), &n32(20), &n32(20), &ip].concat();
    [block(0x0a0d_0d0a, &section), block(1, &interface), block(6, &packet)].concat()
}

#[test]
fn captures_of_both_byte_orders_are_read_whole_or_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let read = |name: &str| {
        let text = format!(
            "FromDump({}, STOP true, FORCE_IP true) -> ToIPSummaryDump(-, FIELDS timestamp ip_src ip_proto, HEADER false) -> Discard",
            path(name)
        );
        run(&["-e", &text]).1
    };
    for big in [true, false] {
        fs::write(path("ng"), next_generation(big)).unwrap();
        assert_eq!(read("ng"), "1.500000 1.2.3.4 89\n");
        let packed = std::process::Command::new("gzip").args(["-kf", &path("ng")]).status().unwrap();
        assert!(packed.success());
        assert_eq!(read("ng.gz"), "1.500000 1.2.3.4 89\n");
        let n32 = |v: u32| if big { v.to_be_bytes() } else { v.to_le_bytes() };
        let n16 = |v: u16| if big { v.to_be_bytes() } else { v.to_le_bytes() };
        let mut ip = [0; 20];
        ::click::headers::write_ipv4(&mut ip, 20, 1, 89, [1, 2, 3, 4], [5, 6, 7, 8]);
        let file = [
            &n32(0xa1b2_c3d4)[..],
            &n16(2),
            &n16(4),
            &[0; 8],
            &n32(65_535),
            &n32(101),
            &n32(7),
            &n32(250_000),
            &n32(20),
            &n32(90),
            &ip,
        ]
        .concat();
        fs::write(path("classic"), file).unwrap();
        assert_eq!(read("classic"), "7.250000 1.2.3.4 89\n");
    }
    let (status, _, err) = run(&["-e", &format!("FromDump({}) -> Discard", path("nothing"))]);
    assert!(status == 1 && err.contains("No such file or directory"), "{err}");
}

#[test]
fn what_tcpdump_prints_becomes_packets() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("text");
    fs::write(&file, "1.0 IP 10.0.0.1.5 > 10.0.0.2.6: Flags [S], seq 9, win 8, length 0\nsomething else\n")
        .unwrap();
    let text = format!(
        "FromTcpdump({}, STOP true) -> ToIPSummaryDump(-, FIELDS ip_src sport tcp_flags tcp_seq, HEADER false) -> Discard",
        file.display()
    );
    assert_eq!(run(&["-e", &text]).1, "10.0.0.1 5 S 9\n");
}

#[test]
fn a_broadcast_of_the_own_network_goes_to_everybody_and_a_time_needs_no_leading_zero() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("in");
    fs::write(&file, "!data timestamp ip_dst\n.25 10.0.0.255\n").unwrap();
    let text = format!(
        "FromIPSummaryDump({}, STOP true) -> q :: ARPQuerier(10.0.0.1/24, 2:1:1:1:1:1) -> Print(MAXLENGTH 6, TIMESTAMP true) -> Discard; Idle -> [1] q",
        file.display()
    );
    let (_, _, err) = run(&["-e", &text]);
    assert!(err.contains("0.25") && err.contains("ffffffff ffff"), "{err}");
}

#[test]
fn traces_alternate_and_the_end_comes_behind_the_last_packet() {
    let source = |name: &str, times: &str| {
        format!(
            "FromIPSummaryDump(DATA \"!data timestamp\n{times}\", STOP true) -> Print({name}, TIMESTAMP true) -> out"
        )
    };
    let text =
        format!("{}; {}; out :: Discard", source("a", "1.0\n2.0\n3.0"), source("b", "5.0\n6.0\n7.0\n8.0"));
    let (_, _, err) = run(&["-e", &text]);
    let names: String = err.lines().map(|line| line.split([':', ' ']).next().unwrap()).collect();
    assert_eq!(names, "ababab", "{err}");
    let text = "FromIPSummaryDump(DATA \"!data timestamp\n1.0\n2.0\n3.0\", STOP true, BURST 2) -> Print(a) -> Print(b) -> Discard";
    let (_, _, err) = run(&["-e", text]);
    let names: String = err.lines().map(|line| line.split([':', ' ']).next().unwrap()).collect();
    assert_eq!(names, "ababab", "{err}");
    let (status, _, err) = run(&["-e", "FromIPSummaryDump(x, DATA y) -> Discard"]);
    assert!(status == 1 && err.contains("FILENAME and DATA conflict"), "{err}");
}

#[test]
fn summaries_of_bytes_are_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bytes").to_str().unwrap().to_string();
    let fields = "timestamp ip_src ip_frag tcp_flags tcp_opt payload_len eth_dst count direction";
    let line = "1.250000 1.2.3.4 ! SA mss1460 70 02-00-00-00-00-09 3 <";
    let make = format!(
        "FromIPSummaryDump(DATA \"!data {fields}\n{line}\n\", STOP true) -> ToIPSummaryDump({file}, FIELDS {fields}, BINARY true)"
    );
    assert_eq!(run(&["-e", &make]), (0, "".into(), "".into()));
    let bytes = fs::read(&file).unwrap();
    assert!(bytes.windows(8).any(|w| w == b"!binary\n"));
    let read = format!(
        "FromIPSummaryDump({file}, STOP true) -> ToIPSummaryDump(-, FIELDS {fields}, HEADER false) -> Discard"
    );
    assert_eq!(run(&["-e", &read]), (0, format!("{line}\n"), "".into()));
    // A record that is cut off, or has no length, is the end.
    for (broken, lines) in [(bytes[..bytes.len() - 3].to_vec(), 0), ([&bytes[..], &[0; 4]].concat(), 1)] {
        fs::write(&file, broken).unwrap();
        let (status, out, _) = run(&["-e", &read]);
        assert_eq!((status, out.lines().count()), (0, lines));
    }
    let (status, _, err) = run(&["-e", "Idle -> ToIPSummaryDump(x, FIELDS payload, BINARY true)"]);
    assert!(status == 1 && err.contains("cannot use field payload with BINARY"), "{err}");
}

#[test]
fn a_line_says_what_is_wrong_with_a_packet() {
    let bad = |line: &str, fields: &str, more: &str| {
        let text = format!(
            "FromIPSummaryDump(DATA \"!data ip_len ip_hl ip_fragoff ip_src\n{line}\n\", STOP true, CHECKSUM true) -> {more} ToIPSummaryDump(-, FIELDS {fields}, HEADER false, BAD_PACKETS true) -> Discard"
        );
        run(&["-e", &text]).1
    };
    assert_eq!(bad("40 20 0 1.1.1.1", "sport ip_src", ""), "0 1.1.1.1\n");
    assert_eq!(bad("40 16 0 1.1.1.1", "ip_src", ""), "!bad IP header length 4\n-\n");
    assert_eq!(bad("40 20 80 1.1.1.1", "sport", ""), "!bad fragmented TCP/UDP header\n-\n");
    assert_eq!(
        bad("40 20 0 1.1.1.1", "tcp_seq", "Truncate(24) ->"),
        "!bad truncated TCP header capture\n-\n"
    );
    let lost = "Truncate(24, EXTRA_ANNO false) ->";
    assert_eq!(bad("40 20 0 1.1.1.1", "tcp_seq", lost), "!bad truncated IP missing 16\n-\n");
    assert_eq!(bad("40 20 0 1.1.1.1", "eth_src", ""), "!bad Ethernet header\n-\n");
    assert_eq!(bad("40 20 0 1.1.1.1", "icmp_type", ""), "-\n");
}
