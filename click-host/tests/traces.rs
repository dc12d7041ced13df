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
