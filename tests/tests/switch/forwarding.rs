//! Where frames go: played into a switch from pcap files, and read back from those that its ports write.

use e2e::eventually;
use e2e::frames::{EVERYONE, arp_request, frame, mac, read, udp, write};
use e2e::switch::Switch;
use std::cell::Cell;
use std::fs;
use std::time::Duration;
use switch::counters::Reason;

thread_local! {
    /// Threads of the data plane of the switch that is tested.
    static THREADS: Cell<usize> = const { Cell::new(1) };
}

/// Tests, each of which is run with one, two and three threads, over which the ports are spread.
macro_rules! with_one_to_three_threads {
    ($(fn $name:ident() $body:block)*) => {
        $(
            #[test]
            fn $name() {
                for threads in 1..=3 {
                    eprintln!("with {threads} threads");
                    THREADS.set(threads);
                    $body
                }
            }
        )*
    };
}

/// A switch that plays frames in at port `in`, which has `inside` for its configuration, and writes what comes out of
/// ports `a`, `b` and `c`, and what goes back to `in`, to files of those names.
struct Played {
    switch: Switch,
    frames: u64,
}

impl Played {
    #[track_caller]
    fn new(segments: &str, inside: &str, [a, b, c]: [&str; 3], frames: &[Vec<u8>]) -> Self {
        let settings = format!("[switch]\nthreads = {}\n", THREADS.get());
        let switch = Switch::new(&settings);
        write(&switch.folder.join("played"), frames);
        let port = |name: &str, settings: &str| {
            format!("[ports.{name}]\ndevice = {{ pcap = {{ write = \"@/{name}\" }} }}\n{settings}\n")
        };
        // A test may have settings of its own.
        let segments = segments.trim_start_matches("[switch]\n");
        let mut text = format!("{settings}{segments}\n{}{}{}", port("a", a), port("b", b), port("c", c));
        // Frames are played when all others are there: a frame for everybody goes to those that are up.
        switch.apply(&text);
        ["a", "b", "c"].iter().for_each(|p| switch.is_up_soon(p));
        text += "[ports.in]\ndevice = { pcap = { read = \"@/played\", write = \"@/in\" } }\n";
        text += inside;
        switch.apply(&text);
        let new = Self { switch, frames: frames.len() as u64 };
        eventually("all frames are in", || new.switch.port("in").counters.received == new.frames);
        // What goes to another thread's port is sent a moment later.
        let mut before = None;
        eventually("all frames are out", || {
            if THREADS.get() > 1 {
                std::thread::sleep(Duration::from_millis(100));
            }
            let ports = new.switch.status().ports;
            let now: Vec<_> = ports.iter().map(|p| (p.counters.sent, p.counters.drops.clone())).collect();
            let settled = THREADS.get() == 1 || before.as_ref() == Some(&now);
            before = Some(now);
            settled
        });
        new
    }

    /// What came out of a port.
    #[track_caller]
    fn out(&self, port: &str) -> Vec<Vec<u8>> {
        let file = self.switch.folder.join(port);
        let sent = self.switch.port(port).counters.sent as usize;
        eventually("the file is written", || fs::metadata(&file).is_ok() && read(&file).len() == sent);
        read(&file)
    }

    fn counts(&self) -> [usize; 3] {
        ["a", "b", "c"].map(|p| self.out(p).len())
    }
}

const PLAIN: [&str; 3] = ["segment = \"s\"", "segment = \"s\"", "segment = \"s\""];

with_one_to_three_threads! {
    fn everyone_gets_what_is_for_everyone_or_for_an_unknown_address() {
        let played = Played::new(
            "[segments.s]",
            "segment = \"s\"",
            PLAIN,
            &[frame(EVERYONE, mac(1), None, b"hello"), frame(mac(9), mac(1), None, b"anyone?")],
        );
        assert_eq!(played.counts(), [2, 2, 2]);
        assert!(played.out("in").is_empty(), "nothing comes back");
        assert_eq!(played.out("a")[0], frame(EVERYONE, mac(1), None, b"hello"));
    }

    fn a_fixed_address_gets_its_own_and_nobody_else_does() {
        let known = ["segment = \"s\"\nmac = \"02:00:00:00:00:0a\"", PLAIN[1], PLAIN[2]];
        let played = Played::new("[segments.s]", "segment = \"s\"", known, &[frame(mac(10), mac(1), None, b"a")]);
        assert_eq!(played.counts(), [1, 0, 0]);
    }

    fn nothing_crosses_between_segments() {
        let others = ["segment = \"s\"", "segment = \"t\"", ""];
        let frames: Vec<_> = (0..100).map(|n| frame(EVERYONE, mac(n), None, &[n])).collect();
        let played = Played::new("[segments.s]\n[segments.t]", "segment = \"s\"", others, &frames);
        assert_eq!(played.counts(), [100, 0, 0]);
    }

    fn a_trunk_carries_vlans_with_tags_and_its_native_segment_without() {
        let ports =
            ["segment = \"s\"", "trunk = { 200 = \"s\", 300 = \"t\" }", "segment = \"t\"\ntrunk = { 7 = \"n\" }"];
        let frames = [
            frame(EVERYONE, mac(1), Some(0x6064), b"vlan 100, priority 3"),
            frame(EVERYONE, mac(1), None, b"native"),
            frame(EVERYONE, mac(1), Some(101), b"not ours"),
        ];
        let played = Played::new(
            "[segments.s]\n[segments.t]\n[segments.n]",
            "segment = \"n\"\ntrunk = { 100 = \"s\" }",
            ports,
            &frames,
        );
        assert_eq!(played.out("a"), [frame(EVERYONE, mac(1), None, b"vlan 100, priority 3")[..].to_vec()]);
        assert_eq!(played.out("b"), [frame(EVERYONE, mac(1), Some(0x60c8), b"vlan 100, priority 3")]);
        assert_eq!(played.out("c"), [frame(EVERYONE, mac(1), Some(7), b"native")]);
        assert_eq!(played.switch.dropped("in", Reason::Vlan), 1);
    }

    fn an_access_port_drops_tags_and_takes_priorities() {
        let frames =
            [frame(EVERYONE, mac(1), Some(5), b"tagged"), frame(EVERYONE, mac(1), Some(0xe000), b"priority")];
        let played = Played::new("[segments.s]", "segment = \"s\"", PLAIN, &frames);
        assert_eq!(played.out("a"), [frame(EVERYONE, mac(1), None, b"priority")]);
        assert_eq!(played.switch.dropped("in", Reason::Vlan), 1);
    }

    fn a_wire_lets_everything_pass_as_it_is() {
        let frames = [
            frame([1, 0x80, 0xc2, 0, 0, 2], mac(1), None, b"link protocols"),
            frame(mac(1), mac(1), Some(77), b"tags"),
            frame(mac(2), EVERYONE, None, b"nonsense"),
        ];
        let wire = ["segment = \"s\"", "", ""];
        let played = Played::new("[segments.s]\npoint-to-point = true", "segment = \"s\"", wire, &frames);
        assert_eq!(played.out("a"), frames);
    }

    fn link_protocols_do_not_leave_their_link() {
        let frames = [frame([1, 0x80, 0xc2, 0, 0, 2], mac(1), None, b"lacp")];
        let played = Played::new("[segments.s]", "segment = \"s\"", PLAIN, &frames);
        assert_eq!(played.counts(), [0, 0, 0]);
        assert_eq!(played.switch.dropped("in", Reason::LinkLocal), 1);
    }

    fn a_bound_port_cannot_pretend_to_be_another() {
        let mut forged = arp_request(mac(1), [10, 0, 0, 9], [10, 0, 0, 2]);
        let frames = [
            udp(mac(2), mac(1), [10, 0, 0, 1], [10, 0, 0, 2], 1),
            udp(mac(2), mac(3), [10, 0, 0, 1], [10, 0, 0, 2], 2),
            udp(mac(2), mac(1), [10, 0, 0, 7], [10, 0, 0, 2], 3),
            arp_request(mac(1), [10, 0, 0, 1], [10, 0, 0, 2]),
            arp_request(mac(1), [0, 0, 0, 0], [10, 0, 0, 1]),
            forged.clone(),
            {
                forged[22..28].copy_from_slice(&mac(9));
                forged
            },
        ];
        let bound =
            "segment = \"s\"\nmac = \"02:00:00:00:00:01\"\naddresses = [\"10.0.0.1\"]\nanti-spoofing = true";
        let played = Played::new("[segments.s]", bound, PLAIN, &frames);
        assert_eq!(played.out("a"), [frames[0].clone(), frames[3].clone(), frames[4].clone()]);
        assert_eq!(played.switch.dropped("in", Reason::Spoofed), 4);
    }

    fn a_bound_port_sends_from_its_allowed_address_pairs_too() {
        let pairs = r#"allowed-address-pairs = [{ address = "10.0.0.100" },
            { address = "10.0.7.0/24", mac = "02:00:00:00:00:07" }]"#;
        let bound = |mac: &str, address: &str| {
            format!("segment = \"s\"\nmac = \"{mac}\"\naddresses = [\"{address}\"]\nanti-spoofing = true")
        };
        let own = format!("{}\n{pairs}", bound("02:00:00:00:00:01", "10.0.0.1"));
        let frames = [
            udp(mac(2), mac(1), [10, 0, 0, 1], [10, 0, 0, 2], 1),
            udp(mac(2), mac(1), [10, 0, 0, 100], [10, 0, 0, 2], 2),
            udp(mac(2), mac(7), [10, 0, 7, 9], [10, 0, 0, 2], 3),
            udp(mac(2), mac(1), [10, 0, 0, 101], [10, 0, 0, 2], 4),
            udp(mac(2), mac(1), [10, 0, 7, 9], [10, 0, 0, 2], 5),
            udp(mac(2), mac(7), [10, 0, 0, 1], [10, 0, 0, 2], 6),
            udp(mac(2), mac(7), [10, 0, 0, 100], [10, 0, 0, 2], 7),
        ];
        let played = Played::new("[segments.s]", &own, PLAIN, &frames);
        assert_eq!(played.out("a"), frames[..3]);
        assert_eq!(played.switch.dropped("in", Reason::Spoofed), 4);
        // Whose port it is the switch cannot know, so whoever may have it is asked.
        let asked = [arp_request(mac(1), [10, 0, 0, 1], [10, 0, 0, 100])];
        let has_pairs = format!("{}\n{pairs}", bound("02:00:00:00:00:0a", "10.0.0.10"));
        let ports = [&has_pairs[..], &bound("02:00:00:00:00:0b", "10.0.0.11"), "segment = \"s\""];
        let segment = "[segments.s]\nanswer-neighbours = true";
        assert_eq!(Played::new(segment, "segment = \"s\"", ports, &asked).counts(), [1, 0, 1]);
    }

    fn a_mirror_gets_what_comes_and_what_goes() {
        let mirrored = "segment = \"s\"\nmirror = \"c\"";
        let ports = ["segment = \"s\"\nmirror = \"c\"", "segment = \"s\"", ""];
        let played =
            Played::new("[segments.s]", mirrored, ports, &[frame(EVERYONE, mac(1), None, b"seen twice")]);
        assert_eq!(played.counts(), [1, 1, 2]);
    }

    fn neighbours_are_answered_for_and_nobody_else_hears_the_question() {
        let assigned = "segment = \"s\"\nmac = \"02:00:00:00:00:0a\"\naddresses = [\"10.0.0.10\"]";
        let other = "segment = \"s\"\nmac = \"02:00:00:00:00:0b\"\naddresses = [\"10.0.0.11\"]";
        let frames = [
            arp_request(mac(1), [10, 0, 0, 1], [10, 0, 0, 10]),
            arp_request(mac(1), [10, 0, 0, 1], [10, 0, 0, 77]),
            arp_request(mac(1), [10, 0, 0, 10], [10, 0, 0, 10]),
        ];
        let played = Played::new(
            "[segments.s]\nanswer-neighbours = true",
            "segment = \"s\"",
            [assigned, other, "segment = \"s\""],
            &frames,
        );
        let answers = played.out("in");
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert_eq!((&answers[0][..6], &answers[0][6..12]), (&mac(1)[..], &mac(10)[..]));
        assert_eq!((answers[0][21], &answers[0][28..32]), (2, &[10, 0, 0, 10][..]));
        // An unknown address may be behind a port whose addresses are not assigned; an announcement concerns everyone.
        assert_eq!(played.counts(), [1, 1, 2]);
    }

    fn a_port_cannot_flood_more_than_it_may() {
        let frames: Vec<_> = (0..500u16).map(|n| frame(EVERYONE, mac(1), None, &n.to_be_bytes())).collect();
        let played = Played::new("[segments.s]\nflood-limit = 100", "segment = \"s\"", PLAIN, &frames);
        let passed = played.counts()[0];
        assert!((30..60).contains(&passed), "{passed}");
        assert_eq!(played.switch.dropped("in", Reason::Storm), 500 - passed as u64);
    }

    fn too_many_addresses_at_one_port_are_not_learned() {
        let frames: Vec<_> =
            (0..2000u16).map(|n| frame(EVERYONE, [2, 1, 0, 0, (n >> 8) as u8, n as u8], None, b"x")).collect();
        let played =
            Played::new("[switch]\naddresses-per-port = 50\n[segments.s]", "segment = \"s\"", PLAIN, &frames);
        let switch::control::Response::Addresses { addresses } =
            played.switch.ask(&switch::control::Request::Addresses)
        else {
            panic!("another answer");
        };
        assert_eq!(addresses.len(), 50);
        for (port, sent) in ["a", "b", "c"].iter().zip(played.counts()) {
            // A file is played faster than another thread writes.
            let full = played.switch.dropped(port, Reason::Full) as usize;
            assert_eq!(sent + full, 2000, "{port}");
            assert!(THREADS.get() > 1 || full == 0, "{port}");
        }
    }

    fn what_is_longer_than_a_port_takes_is_dropped_there() {
        let small = ["segment = \"s\"\nmtu = 500", "segment = \"s\"", "segment = \"s\""];
        let frames = [frame(EVERYONE, mac(1), None, &[7; 1000]), frame(EVERYONE, mac(1), None, &[7; 500])];
        let played = Played::new("[segments.s]", "segment = \"s\"", small, &frames);
        assert_eq!(played.counts(), [1, 2, 2]);
        assert_eq!(played.switch.dropped("a", Reason::TooLong), 1);
    }

    fn frames_cross_between_threads() {
        let ports = ["segment = \"s\"\nthread = 1", "segment = \"s\"\nthread = 2", "segment = \"s\"\nthread = 0"];
        let frames: Vec<_> = (0..300u16).map(|n| frame(EVERYONE, mac(1), None, &n.to_be_bytes())).collect();
        let switch = Switch::new("[switch]\nthreads = 3");
        write(&switch.folder.join("played"), &frames);
        let mut text = "[switch]\nthreads = 3\n[segments.s]\n".to_owned();
        for (name, settings) in ["a", "b", "c"].iter().zip(ports) {
            text += &format!("[ports.{name}]\ndevice = {{ pcap = {{ write = \"@/{name}\" }} }}\n{settings}\n");
        }
        switch.apply(&text);
        text += "[ports.in]\ndevice = { pcap = { read = \"@/played\" } }\nsegment = \"s\"\nthread = 0\n";
        switch.apply(&text);
        for name in ["a", "b", "c"] {
            eventually("all frames are out", || {
                let c = switch.port(name).counters;
                c.sent + c.drops.values().sum::<u64>() == 300
            });
            let out = read(&switch.folder.join(name));
            assert_eq!(out, frames[..out.len()], "in order");
            assert!(out.len() >= 250, "{}", out.len());
        }
    }
}
