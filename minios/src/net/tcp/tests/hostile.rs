//! A peer that sends whatever it likes costs itself, and a bounded amount of memory.

use super::super::connections::{AcceptDecision, Admission, Connections};
use super::super::segment::{ACK, Block, SYN, Segment};
use super::super::seq::Seq;
use super::Program;
use super::ours::{Cutter, Ours, PORT, address, mac};
use crate::clock::Instant;
use crate::net::tcp::connection::Ends;
use crate::net::tcp::output::Link;
use core::time::Duration;
use proptest::prelude::*;
use smoltcp::wire::IpEndpoint;

/// What a hostile peer does next.
#[derive(Clone, Debug)]
enum Step {
    /// A segment whose numbers are these distances from those that would be right.
    Segment {
        flags: u8,
        seq: i32,
        ack: i32,
        window: u16,
        data: usize,
        blocks: Vec<(i32, i32)>,
        stamps: Option<(i32, u32)>,
    },
    /// Options of its own.
    Raw(Vec<u8>),
    Wait(u64),
}

fn near() -> impl Strategy<Value = i32> {
    prop_oneof![4 => Just(0), 2 => -3i32..3, 2 => -70_000i32..70_000, 1 => any::<i32>()]
}

fn step() -> impl Strategy<Value = Step> {
    let flags = prop_oneof![6 => Just(ACK), 1 => Just(SYN), 2 => any::<u8>().prop_map(|flags| flags & 31)];
    let blocks = prop::collection::vec((near(), near()), 0..=3);
    let stamps = prop::option::of((near(), any::<u32>()));
    let data = prop_oneof![Just(0), 0usize..1460];
    let segment = (flags, near(), near(), any::<u16>(), data, blocks, stamps).prop_map(
        |(flags, seq, ack, window, data, blocks, stamps)| Step::Segment {
            flags,
            seq,
            ack,
            window,
            data,
            blocks,
            stamps,
        },
    );
    prop_oneof![
        12 => segment,
        1 => prop::collection::vec(any::<u8>(), 0..100).prop_map(Step::Raw),
        3 => (0u64..3_000_000_000).prop_map(Step::Wait),
    ]
}

fn at(seq: Seq, distance: i32) -> Seq {
    Seq(seq.0.wrapping_add(distance as u32))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Nothing panics; what is held has a bound; and what is sent has one: an answer to each segment, what the window
    /// and the program allow, and what is sent again as time passes.
    #[test]
    fn nothing_that_a_peer_sends_does_harm(steps in prop::collection::vec(step(), 1..120), active in any::<bool>()) {
        let mut now = Instant(1_000_000_000);
        let mut ours = Ours::new(1, Program::new(200_000, usize::MAX));
        ours.bytes = 50_000;
        ours.program.pattern = false;
        if active {
            ours.connect(now);
            ours.turn(now);
        }
        let ends = Ends {
            remote: IpEndpoint::new(address(1), if active { 50_000 } else { PORT }),
            local: IpEndpoint::new(address(0), if active { PORT } else { 50_000 }),
        };
        let mut peer = Cutter { own: 0, frames: Vec::new(), cuts: false, room: usize::MAX };
        let (mut next, mut expected, mut heard, mut sent) = (Seq(77), Seq(0), 0u32, 0usize);
        for step in steps {
            match step {
                Step::Segment { flags, seq, ack, window, data, blocks, stamps } => {
                    let mut segment = Segment {
                        source: ends.local.port,
                        destination: ends.remote.port,
                        seq: at(next, seq),
                        ack: at(expected, ack),
                        flags,
                        window,
                        timestamps: stamps.map(|(own, echo)| (heard.wrapping_add(own as u32), echo)),
                        ..Segment::default()
                    };
                    if flags & SYN != 0 {
                        (segment.mss, segment.window_scale) = (Some(window), Some(window as u8));
                        segment.sack_permitted = data == 0;
                    }
                    for (start, end) in blocks.iter().take(if flags & SYN != 0 { 0 } else { 3 }) {
                        segment.add_block(Block { start: at(expected, *start), end: at(expected, *end) });
                    }
                    let data = vec![1; data.min(1400)];
                    peer.send(&ends, &segment, (&data, &[]), 1460).expect("there is room");
                    if seq == 0 {
                        next = next + data.len() as u32 + u32::from(flags & SYN != 0);
                    }
                }
                Step::Raw(bytes) => {
                    let mut frame = vec![0; 34];
                    frame[..6].copy_from_slice(&mac(1).0);
                    frame[12..15].copy_from_slice(&[8, 0, 0x45]);
                    frame.extend(bytes);
                    peer.frames.push(frame);
                }
                Step::Wait(ns) => now = now + Duration::from_nanos(ns),
            }
            for frame in peer.frames.drain(..) {
                ours.input(&frame, now);
            }
            ours.turn(now);
            sent += ours.cutter.frames.len();
            for frame in ours.cutter.frames.drain(..) {
                if let Some((segment, _)) = Segment::parse(&frame[34..]) {
                    expected = segment.seq + u32::from(segment.flags & SYN != 0);
                    heard = segment.timestamps.map_or(0, |(_, heard)| heard);
                }
            }
            let held: usize = ours.tcp.numbers().filter_map(|n| ours.tcp.get(n)).map(|c| c.held()).sum();
            prop_assert!(held <= 4 * 65_536, "{held} bytes are held");
        }
        prop_assert!(sent < 20_000, "{sent} frames");
    }
}

const WELCOME: AcceptDecision = AcceptDecision::Admitted(Admission { receive: 1000, transmit: 1000 });

fn syn(port: u16, seq: u32) -> (Ends, Segment) {
    let ends = Ends { remote: IpEndpoint::new(address(0), port), local: IpEndpoint::new(address(1), PORT) };
    (
        ends,
        Segment {
            source: port,
            destination: PORT,
            seq: Seq(seq),
            flags: SYN,
            window: 1000,
            ..Segment::default()
        },
    )
}

/// Of connections that nobody confirms there is a bounded number, and who comes among them is served.
#[test]
fn a_flood_of_syns_keeps_nobody_out() {
    let mut now = Instant(1_000_000_000);
    let mut ours = Ours::new(1, Program::new(10, 0));
    let flood = |tcp: &mut Connections, cutter: &mut Cutter, now, from: u32| {
        for n in from..from + 5000 {
            let (mut ends, segment) = syn(1024 + (n % 60_000) as u16, n);
            ends.remote.addr = smoltcp::wire::IpAddress::v4(10, 1, (n >> 16) as u8, 9);
            tcp.input(&ends, &segment, &[], now, cutter, |_, _| WELCOME);
        }
    };
    flood(&mut ours.tcp, &mut ours.cutter, now, 0);
    ours.turn(now);
    ours.cutter.frames.clear();
    let mut client = Ours::new(0, Program::new(0, 10));
    client.connect(now);
    client.turn(now);
    for step in 0..6 {
        for frame in client.cutter.frames.drain(..) {
            ours.input(&frame, now);
        }
        if step == 0 {
            // Some more come before the handshake is over.
            for n in 0..100 {
                let (mut ends, segment) = syn(2000 + n, 5);
                ends.remote.addr = smoltcp::wire::IpAddress::v4(10, 2, 0, 9);
                ours.tcp.input(&ends, &segment, &[], now, &mut ours.cutter, |_, _| WELCOME);
            }
        }
        ours.turn(now);
        now = now + Duration::from_micros(100);
        for frame in ours.cutter.frames.drain(..) {
            client.input(&frame, now);
        }
        client.turn(now);
    }
    assert!(client.program.ended, "the client was served");
    let there = ours.tcp.numbers().filter(|&n| ours.tcp.get(n).is_some()).count();
    assert!(there <= 258, "{there} connections");
    // All of them are given up soon.
    for _ in 0..200 {
        now = now + Duration::from_millis(100);
        ours.turn(now);
    }
    let there = ours.tcp.numbers().filter(|&n| ours.tcp.get(n).is_some()).count();
    assert!(there <= 1, "{there} connections are left");
}
