//! Everything arrives, in order, in bounded time, and ends are clean.

use super::Program;
use super::link::{Faults, LossyLink};
use super::ours::Ours;
use super::theirs::Theirs;
use crate::clock::Instant;
use crate::net::tcp::seq::Seq;
use core::time::Duration;
use proptest::prelude::*;

const START: Instant = Instant(1_000_000_000);

/// What a transfer was like.
#[derive(Debug)]
struct Course {
    time: Duration,
    silence: Duration,
    again: u64,
}

enum End {
    Ours(Box<Ours>),
    Theirs(Box<Theirs>),
}

impl End {
    fn input(&mut self, frame: &[u8], now: Instant) {
        match self {
            Self::Ours(end) => end.input(frame, now),
            Self::Theirs(end) => end.input(frame),
        }
    }

    fn turn(&mut self, now: Instant) -> Vec<Vec<u8>> {
        match self {
            Self::Ours(end) => {
                end.turn(now);
                core::mem::take(&mut end.cutter.frames)
            }
            Self::Theirs(end) => {
                end.turn(now);
                core::mem::take(&mut end.frames)
            }
        }
    }

    fn deadline(&mut self, now: Instant) -> Option<Instant> {
        match self {
            Self::Ours(end) => end.deadline(now),
            Self::Theirs(end) => end.deadline(now),
        }
    }

    fn is_done(&self) -> bool {
        match self {
            Self::Ours(end) => {
                assert!(!end.broken, "the connection broke");
                end.is_done()
            }
            Self::Theirs(end) => end.is_done(),
        }
    }
}

/// Runs both ends until they are done.
fn run(mut ends: [End; 2], mut link: LossyLink, limit: Duration) -> Course {
    let mut now = START;
    link.last = now;
    let mut again = 0;
    loop {
        while let Some((to, frame)) = link.receive(now) {
            ends[to].input(&frame, now);
        }
        for (from, end) in ends.iter_mut().enumerate() {
            for frame in end.turn(now) {
                link.send(1 - from, frame, now);
            }
            if let End::Ours(end) = end
                && let Some(connection) = end.number.and_then(|number| end.tcp.get(number))
            {
                again = again.max(connection.retransmissions());
            }
        }
        if ends.iter().all(End::is_done) {
            return Course { time: now.since(START), silence: link.silence, again };
        }
        assert!(now.since(START) < limit, "not done after {limit:?}, {} frames", link.frames);
        let times = [link.next_at(), ends[0].deadline(now), ends[1].deadline(now)];
        let next = times.into_iter().flatten().min().expect("something is to come");
        now = next.max(now + Duration::from_nanos(1000));
    }
}

/// Client and server of this TCP.
fn pair(there: usize, back: usize) -> [Ours; 2] {
    let mut client = Ours::new(0, Program::new(there, back));
    client.connect(START);
    [client, Ours::new(1, Program::new(back, there))]
}

fn ends(pair: [Ours; 2]) -> [End; 2] {
    pair.map(|end| End::Ours(Box::new(end)))
}

#[test]
fn a_link_without_faults_carries_a_transfer_without_a_pause() {
    let course = run(ends(pair(8_000_000, 0)), LossyLink::new(1, Faults::default()), Duration::from_secs(2));
    // A byte takes a nanosecond.
    assert!(course.time < Duration::from_millis(30) && course.again == 0, "{course:?}");
}

#[test]
fn losses_do_not_lead_to_silence() {
    for (faults, most) in [
        (Faults { lost: 10, ..Faults::default() }, 400),
        (Faults { lost: 200, ..Faults::default() }, 3_000),
        (Faults { every: 50, ..Faults::default() }, 3_000),
        (Faults { lost: 1000, ..Faults::default() }, 30_000),
    ] {
        for seed in 1..=2 {
            let course =
                run(ends(pair(2_000_000, 0)), LossyLink::new(seed * 77, faults), Duration::from_secs(60));
            println!("{faults:?}: {course:?}");
            assert!(course.time < Duration::from_millis(most), "{faults:?}: {course:?}");
            assert!(course.silence < Duration::from_millis(1900), "{faults:?}: {course:?}");
        }
    }
}

#[test]
fn a_full_queue_on_the_way_is_filled_and_not_overrun_for_long() {
    let mut link = LossyLink::new(5, Faults::default());
    // 100 Mb/s, 20 ms to the peer, and a quarter of a megabyte in front.
    (link.byte, link.delay, link.queue) = (80, Duration::from_millis(20), 256 << 10);
    let course = run(ends(pair(8_000_000, 0)), link, Duration::from_secs(10));
    println!("{course:?}");
    assert!(course.time < Duration::from_millis(1400), "{course:?}");
}

#[test]
fn a_reader_that_pauses_closes_the_window_and_opens_it() {
    for bytes in [2000, 100_000] {
        let mut pair = pair(400_000, 1000);
        pair[1].program.pause = Duration::from_millis(700);
        pair[1].bytes = bytes;
        let faults = Faults { lost: 300, ..Faults::default() };
        let course = run(ends(pair), LossyLink::new(9, faults), Duration::from_secs(200));
        println!("{bytes}: {course:?}");
    }
}

fn faults() -> impl Strategy<Value = Faults> {
    (0u32..1200, 0u32..500, 0u32..1000, 0u32..300).prop_map(|(lost, twice, late, corrupt)| Faults {
        lost,
        twice,
        late,
        corrupt,
        every: 0,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Two ends of this TCP, whatever the link does.
    #[test]
    fn everything_arrives(
        seed in any::<u64>(),
        faults in faults(),
        (there, back) in (0usize..200_000, 0usize..60_000),
        bytes in 1000usize..400_000,
        (cuts, bite) in (any::<bool>(), 1usize..100_000),
        delay in 10u64..50_000,
        wraps_after in 0u32..100_000,
        room in prop_oneof![1usize..4, Just(usize::MAX)],
    ) {
        let mut pair = pair(there, back);
        for end in &mut pair {
            end.tcp.first = Some(Seq(0) - wraps_after);
            (end.bytes, end.cutter.cuts, end.program.bite) = (bytes, cuts, bite);
            end.cutter.room = if cuts { usize::MAX } else { room };
        }
        let mut link = LossyLink::new(seed, faults);
        link.delay = Duration::from_micros(delay);
        run(ends(pair), link, Duration::from_secs(900));
    }

    /// This TCP and smoltcp's, either of them the client.
    #[test]
    fn everything_arrives_from_and_at_another_tcp(
        seed in any::<u64>(),
        faults in faults(),
        (there, back) in (0usize..60_000, 0usize..60_000),
        client in any::<bool>(),
    ) {
        // smoltcp waits for a second and more after each loss that it does not see.
        let faults = Faults { lost: faults.lost / 4, ..faults };
        let ends = if client {
            let mut ours = Ours::new(0, Program::new(there, back));
            ours.connect(START);
            let mut theirs = Theirs::new(1, Program::new(back, there));
            theirs.listen();
            [End::Ours(Box::new(ours)), End::Theirs(Box::new(theirs))]
        } else {
            let mut theirs = Theirs::new(0, Program::new(there, back));
            theirs.connect();
            [End::Theirs(Box::new(theirs)), End::Ours(Box::new(Ours::new(1, Program::new(back, there))))]
        };
        run(ends, LossyLink::new(seed, faults), Duration::from_secs(3000));
    }
}
