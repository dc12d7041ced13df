//! Packets inside of others, as other programs make and read them: the kernel's VXLAN, tshark, OpenSSL.

mod common;

use common::{Running, Space, run, until};
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

/// Keys of each kind: as arguments, and as tshark wants them.
const SUITES: [(&str, &str); 4] = [
    (
        "KEY 0x000102030405060708090a0b0c0d0e0fa0a1a2a3",
        r#""AES-GCM with 16 octet ICV [RFC4106]","0x000102030405060708090a0b0c0d0e0fa0a1a2a3","NULL","""#,
    ),
    (
        "KEY 0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1fa0a1a2a3",
        r#""AES-GCM with 16 octet ICV [RFC4106]","0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1fa0a1a2a3","NULL","""#,
    ),
    (
        "KEY 0x000102030405060708090a0b0c0d0e0f, AUTH_KEY 0x202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f",
        r#""AES-CBC [RFC3602]","0x000102030405060708090a0b0c0d0e0f","HMAC-SHA-256-128 [RFC4868]","0x202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f""#,
    ),
    (
        "KEY 0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f, AUTH_KEY 0x202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f",
        r#""AES-CBC [RFC3602]","0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f","HMAC-SHA-512-256 [RFC4868]","0x202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f""#,
    ),
];

/// Bytes of what UDP carries, of many lengths, so that there is padding of every length.
fn sources() -> String {
    (0..20).map(|n| format!("InfiniteSource(LIMIT 1, LENGTH {}) -> u;\n", 1000 + n)).collect()
}

fn sealed(keys: &str, behind: &str) -> String {
    let sources = sources();
    format!(
        "u :: UDPIPEncap(10.0.0.1, 1000, 10.0.0.2, 2000)
            -> e :: ESPTunnelEncap(SPI 4096, SRC 1.1.1.1, DST 2.2.2.2, {keys}) -> CheckIPHeader -> {behind};
         {sources}"
    )
}

#[test]
fn what_is_encrypted_is_what_tshark_decrypts() {
    let folder = tempfile::tempdir().unwrap();
    for (number, (keys, tshark)) in SUITES.iter().enumerate() {
        let file = folder.path().join(format!("{number}.pcap"));
        let dump = format!("ToDump({}, ENCAP IP)", file.display());
        let text = sealed(keys, &dump) + "DriverManager(wait 0.05, print e.count, stop);";
        assert_eq!(run(&["-e", &text]), (0, "20\n".into(), "".into()), "{keys}");
        let association = format!(r#"uat:esp_sa:"IPv4","*","*","0x00001000",{tshark},"32-bit""#);
        let read = Command::new("tshark")
            .args(["-o", "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE"])
            .args([
                "-o",
                &association,
                "-T",
                "fields",
                "-e",
                "esp.sequence",
                "-e",
                "udp.dstport",
                "-e",
                "udp.length",
            ])
            .args(["-e", "udp.checksum.status", "-o", "udp.check_checksum:TRUE", "-r"])
            .arg(&file)
            .output()
            .expect("tshark");
        let read = String::from_utf8_lossy(&read.stdout).into_owned();
        let mut lengths: Vec<u32> = Vec::new();
        for (n, line) in read.lines().enumerate() {
            let fields: Vec<&str> = line.split('\t').collect();
            assert_eq!(
                (fields[0], fields[1], fields[3]),
                ((n + 1).to_string().as_str(), "2000", "1"),
                "{keys}: {line}"
            );
            lengths.push(fields[2].parse().unwrap());
        }
        lengths.sort_unstable();
        assert_eq!(lengths, (1008..1028).collect::<Vec<_>>(), "{keys}");
    }
}

#[test]
fn what_was_encrypted_is_decrypted_once_and_only_if_it_is_genuine() {
    for (keys, _) in SUITES {
        // Every packet comes as it is, twice, and changed at one place: in the header of ESP, in what is encrypted, at the end.
        let others = "s :: Switch(0); s[0] -> a :: StoreData(24, \\<ff>) -> d; s[1] -> b :: StoreData(60, \\<00000000>) -> d;
            s[2] -> Truncate(90) -> d; t[2] -> r :: RoundRobinSwitch; r[0] -> a; r[1] -> b; Idle -> s;
            d[0] -> CheckIPHeader -> CheckUDPHeader -> c :: Counter -> Discard; d[1] -> o :: Counter -> Discard;";
        let text = sealed(keys, "t :: Tee(3)")
            + &format!("t[0] -> d :: ESPTunnelDecap(SPI 4096, {keys}); t[1] -> d; {others}")
            + "DriverManager(wait 0.05, print c.count, print d.count, print d.replays, print $(add $(d.forged) $(d.replays)), print o.count, stop);";
        let (status, out, err) = run(&["-e", &text]);
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!((status, lines.as_slice().first(), err.as_str()), (0, Some(&"20"), ""), "{keys}: {out}");
        assert_eq!(lines[1], "20");
        assert!(lines[2].parse::<u32>().unwrap() >= 20, "{out}");
        assert_eq!(lines[3..], ["40", "0"], "{out}");
    }
}

#[test]
fn what_openssl_encrypts_is_decrypted() {
    let openssl = |arguments: &[&str], input: &[u8]| {
        let mut command = Command::new("openssl");
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("openssl");
        child.stdin.take().unwrap().write_all(input).unwrap();
        let done = child.wait_with_output().unwrap();
        assert!(done.status.success());
        done.stdout
    };
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain.pcap");
    let text = format!(
        "InfiniteSource(LIMIT 1, LENGTH 90, STOP true) -> UDPIPEncap(10.0.0.1, 7, 10.0.0.2, 9) -> ToDump({}, ENCAP IP)",
        plain.display()
    );
    assert_eq!(run(&["-e", &text]).0, 0);
    let mut inner = fs::read(&plain).unwrap().split_off(24 + 16);
    let padding = (inner.len() + 2).next_multiple_of(16) - inner.len() - 2;
    inner.extend((1..=padding as u8).chain([padding as u8, 4]));
    let (key, vector) = ("000102030405060708090a0b0c0d0e0f", "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
    let auth = "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f";
    let hidden = openssl(&["enc", "-aes-128-cbc", "-nopad", "-K", key, "-iv", vector], &inner);
    let mut esp = [[0, 0, 0x10, 0], [0, 0, 0, 7]].concat();
    esp.extend((0xf0u8..=0xff).chain(hidden));
    let macopt = format!("hexkey:{auth}");
    let digest = openssl(&["dgst", "-sha256", "-mac", "HMAC", "-macopt", &macopt, "-binary"], &esp);
    esp.extend(&digest[..16]);
    let hexadecimal: String = esp.iter().map(|byte| format!("{byte:02x}")).collect();
    let text = format!(
        "InfiniteSource(DATA \\<{hexadecimal}>, LIMIT 1, STOP true) -> IPEncap(esp, 1.1.1.1, 2.2.2.2)
            -> ESPTunnelDecap(SPI 4096, KEY 0x{key}, AUTH_KEY 0x{auth}) -> CheckIPHeader -> CheckUDPHeader
            -> IPPrint(x, TIMESTAMP false) -> Discard"
    );
    let (status, _, err) = run(&["-e", &text]);
    assert_eq!((status, err.as_str()), (0, "x: 10.0.0.1.7 > 10.0.0.2.9: udp 98\n"));
}

#[test]
fn keys_that_will_not_do_are_refused() {
    for (keys, complaint) in [
        ("SPI 300", "missing mandatory KEY argument"),
        ("SPI 300, KEY 0x0102", "AES-GCM takes a key of 16 or 32 bytes and a salt of 4 behind it"),
        ("SPI 300, KEY zz", "expected hexadecimal digits, two for each byte"),
        (
            "SPI 300, KEY 0x00, AUTH_KEY 0x00",
            "KEY has 16 or 32 bytes, and AUTH_KEY 32 (SHA-256) or, on a host, 64 (SHA-512)",
        ),
    ] {
        let text = format!("Idle -> ESPTunnelDecap({keys}) -> Discard");
        let (status, _, err) = run(&["-e", &text]);
        assert!(status == 1 && err.contains(complaint), "{keys}: {err}");
    }
}

#[test]
fn gre_goes_there_and_back() {
    for (encap, decap, arrive) in [
        ("", "", "4"),
        ("KEY 5, SEQUENCE true, CHECKSUM true", "KEY 5", "4"),
        ("PROTOCOL 0x6558", "0x6558", "0"),
        ("KEY 5", "KEY 6", "0"),
        ("KEY 5", "", "0"),
        ("CHECKSUM true", "0x86dd", "0"),
    ] {
        let text = format!(
            "InfiniteSource(LIMIT 4, LENGTH 33, STOP true) -> UDPIPEncap(1.1.1.1, 1, 2.2.2.2, 2) -> GREEncap({encap})
                -> IPEncap(gre, 3.3.3.3, 4.4.4.4) -> CheckIPHeader -> StripIPHeader -> g :: GREDecap({decap});
             g[0] -> CheckIPHeader -> CheckUDPHeader -> c :: Counter -> Discard; g[1] -> Discard;
             DriverManager(wait, print c.count)"
        );
        let (status, out, err) = run(&["-e", &text]);
        let expected = if encap.contains("0x6558") { "4" } else { arrive };
        assert_eq!((status, out.trim()), (0, expected), "{encap}; {decap}: {err}");
    }
}

/// The kernel's VXLAN device on one end, a router with an address inside of the tunnel on the other.
#[test]
fn the_kernel_pings_through_vxlan() {
    let space = Space::new("vxlan");
    space.ip("link add k0 type veth peer name c0");
    space.ip("addr add 10.8.0.1/24 dev k0");
    space.ip("link set k0 up");
    space.ip("link set c0 up");
    space.ip("link add v0 type vxlan id 77 local 10.8.0.1 remote 10.8.0.2 dstport 4789");
    space.ip("addr add 10.9.0.1/24 dev v0");
    space.ip("link set v0 up");
    let router = "f :: FromDevice(c0, PROMISC true) -> c :: Classifier(12/0806, 12/0800 23/11 36/12b5, -); c[2] -> Discard;
        out :: Queue -> ToDevice(c0);
        c[0] -> ARPResponder(10.8.0.2 2:0:0:0:0:2) -> out;
        c[1] -> Strip(42) -> v :: VXLANDecap(77) -> i :: Classifier(12/0806, 12/0800, -); i[2] -> Discard;
        i[0] -> ARPResponder(10.9.0.2 2:0:0:0:0:9) -> back;
        i[1] -> Strip(14) -> CheckIPHeader -> ICMPPingResponder -> EtherEncap(0x0800, 2:0:0:0:0:9, v0:eth) -> back;
        back :: VXLANEncap(77) -> UDPIPEncap(10.8.0.2, 50000, 10.8.0.1, 4789) -> EtherEncap(0x0800, 2:0:0:0:0:2, k0:eth) -> out;";
    let router = Running::start(space.click(&["-e", router, "-h", "v.vni"]));
    until(|| {
        let ping = space.run("ping", &["-c", "3", "-i", "0.05", "-W", "1", "10.9.0.2"]).output().unwrap();
        ping.status.success()
    });
    router.signal("INT");
    assert_eq!(router.end(), (0, "77\n".into(), "".into()));
}
