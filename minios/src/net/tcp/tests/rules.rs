//! Single segments, and what the standards want of them.

use super::super::connection::{Ends, State};
use super::super::connections::{AcceptDecision, Admission, Connections};
use super::super::output::{Blocked, Link};
use super::super::segment::{ACK, FIN, RST, SYN, Segment};
use super::super::seq::Seq;
use super::ours::{PORT, address};
use crate::clock::Instant;
use core::time::Duration;
use smoltcp::wire::IpEndpoint;

/// Keeps what is sent.
#[derive(Default)]
struct Kept(Vec<(Segment, Vec<u8>)>);

impl Link for Kept {
    fn largest(&self, _: &Ends) -> u32 {
        1480
    }

    fn send(&mut self, _: &Ends, segment: &Segment, data: (&[u8], &[u8]), _: u16) -> Result<(), Blocked> {
        self.0.push((*segment, [data.0, data.1].concat()));
        Ok(())
    }
}

/// A server, and a peer that the test plays.
struct Table {
    tcp: Connections,
    kept: Kept,
    now: Instant,
    ends: Ends,
    /// The peer's next number, and what it expects.
    next: Seq,
    expected: Seq,
}

impl Table {
    fn new() -> Self {
        let ends =
            Ends { remote: IpEndpoint::new(address(0), 4000), local: IpEndpoint::new(address(1), PORT) };
        Self {
            tcp: Connections::new(1500, [3; 32]),
            kept: Kept::default(),
            now: Instant(5_000_000_000),
            ends,
            next: Seq(1000),
            expected: Seq(0),
        }
    }

    /// With a connection that has come about.
    fn open() -> Self {
        let mut table = Self::new();
        let answers = table.says(table.segment(SYN), &[]);
        let [(answer, _)] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!((answer.flags, answer.ack), (SYN | ACK, Seq(1001)));
        table.expected = answer.seq + 1;
        table.next = Seq(1001);
        assert!(table.says(table.segment(ACK), &[]).is_empty());
        assert_eq!(table.state(), Some(State::Established));
        table
    }

    fn segment(&self, flags: u8) -> Segment {
        Segment {
            source: 4000,
            destination: PORT,
            seq: self.next,
            ack: self.expected,
            flags,
            window: 60_000,
            mss: (flags & SYN != 0).then_some(1460),
            ..Segment::default()
        }
    }

    /// Has the peer say something; what is answered.
    fn says(&mut self, segment: Segment, data: &[u8]) -> Vec<(Segment, Vec<u8>)> {
        let accept = |port, _| match port {
            PORT => AcceptDecision::Admitted(Admission { receive: 10_000, transmit: 10_000 }),
            _ => AcceptDecision::Refused,
        };
        self.tcp.input(&self.ends, &segment, data, self.now, &mut self.kept, accept);
        self.turn()
    }

    fn turn(&mut self) -> Vec<(Segment, Vec<u8>)> {
        self.tcp.expire(self.now);
        while let Some(number) = self.tcp.next_touched() {
            self.tcp.transmit(number, true, self.now, &mut self.kept);
        }
        core::mem::take(&mut self.kept.0)
    }

    fn after(&mut self, time: Duration) -> Vec<(Segment, Vec<u8>)> {
        self.now = self.now + time;
        self.turn()
    }

    fn state(&self) -> Option<State> {
        self.tcp.get(0).map(|connection| connection.state())
    }

    fn with<R>(&mut self, work: impl FnOnce(&mut super::super::connection::Connection) -> R) -> R {
        let result = work(self.tcp.get_mut(0).expect("it is there"));
        self.tcp.touch(0);
        result
    }
}

/// RFC 5961 section 3: a reset counts at exactly the next number; within the window it is asked for again, a few times a
/// second; and elsewhere it is nothing.
#[test]
fn a_reset_beside_the_mark_is_challenged_seldom() {
    let mut table = Table::open();
    let mut answers = 0;
    for distance in [1, 2, 100, 9000] {
        for _ in 0..1000 {
            let mut reset = table.segment(RST);
            reset.seq = table.next + distance;
            answers += table.says(reset, &[]).len();
        }
    }
    assert_eq!(answers, 1);
    for distance in [10_002, 1 << 20, u32::MAX, u32::MAX - 5] {
        let mut reset = table.segment(RST);
        reset.seq = table.next + distance;
        table.now = table.now + Duration::from_secs(1);
        assert!(table.says(reset, &[]).is_empty());
    }
    assert_eq!(table.state(), Some(State::Established));
    assert!(table.says(table.segment(RST), &[]).is_empty());
    assert_eq!(table.state(), Some(State::Closed));
}

/// RFC 5961 section 4, RFC 9293 section 3.5.1: a peer that has forgotten the connection and asks for a new one learns what
/// is expected here, resets it, and is let in.
#[test]
fn a_syn_on_an_open_connection_recovers_it() {
    let mut table = Table::open();
    let (next, expected) = (table.next, table.expected);
    table.next = Seq(99_000_000);
    let answers = table.says(table.segment(SYN), &[]);
    let [(challenge, _)] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!((challenge.flags, challenge.seq, challenge.ack), (ACK, expected, next));
    assert_eq!(table.state(), Some(State::Established));
    // What RFC 9293 section 3.10.7.3 has it answer.
    let mut reset = table.segment(RST);
    reset.seq = challenge.ack;
    table.says(reset, &[]);
    table.tcp.remove(0);
    let answers = table.says(table.segment(SYN), &[]);
    assert_eq!(answers[0].0.flags, SYN | ACK);
}

/// The same from the other side: an answer that belongs to an older connection is reset, and the SYN is sent again soon.
#[test]
fn who_asks_gets_over_an_older_connection_of_the_peer() {
    let mut table = Table::new();
    let ends = Ends { remote: table.ends.remote, local: IpEndpoint::new(address(1), 50_000) };
    let admission = Admission { receive: 10_000, transmit: 10_000 };
    table.tcp.connect(ends, admission, table.now).expect("there is memory");
    table.ends = ends;
    let asked = table.turn();
    assert_eq!(asked[0].0.flags, SYN);
    let old = Segment { destination: 50_000, ack: Seq(5), ..table.segment(ACK) };
    let answers = table.says(old, &[]);
    assert_eq!((answers[0].0.flags, answers[0].0.seq), (RST, Seq(5)));
    assert_eq!(table.state(), Some(State::SynSent));
    let again = table.after(Duration::from_millis(10));
    assert_eq!((again[0].0.flags, again[0].0.seq), (SYN, asked[0].0.seq));
}

#[test]
fn a_peer_that_asks_anew_before_the_handshake_is_over_is_answered_anew() {
    let mut table = Table::new();
    table.says(table.segment(SYN), &[]);
    table.next = Seq(7_000_000);
    let answers = table.says(table.segment(SYN), &[]);
    assert_eq!((answers[0].0.flags, answers[0].0.ack), (SYN | ACK, Seq(7_000_001)));
}

/// RFC 5961 section 5: what acknowledges what was never sent has no effect.
#[test]
fn acknowledgements_of_nothing_are_challenged_seldom() {
    let mut table = Table::open();
    let mut answers = 0;
    for distance in [1, 1000, 1 << 30] {
        for _ in 0..100 {
            let mut wrong = table.segment(ACK);
            wrong.ack = table.expected + distance;
            answers += table.says(wrong, b"data").len();
        }
    }
    assert_eq!(answers, 1);
    assert_eq!(table.tcp.get(0).map(|connection| connection.readable()), Some(0));
}

/// RFC 9293 section 3.6.1, RFC 6191: after its end a connection answers for a while, and gives way to a new one.
#[test]
fn time_wait_answers_and_gives_way_to_a_new_syn() {
    let mut table = Table::open();
    table.with(|connection| connection.close());
    let answers = table.turn();
    assert_eq!(answers[0].0.flags & FIN, FIN);
    table.expected = table.expected + 1;
    let end = table.segment(FIN | ACK);
    let answers = table.says(end, &[]);
    assert_eq!((answers[0].0.flags, answers[0].0.ack), (ACK, table.next + 1));
    assert_eq!(table.state(), Some(State::TimeWait));
    table.tcp.remove(0);
    // The acknowledgement was lost.
    table.now = table.now + Duration::from_secs(1);
    let answers = table.says(end, &[]);
    assert_eq!((answers[0].0.flags, answers[0].0.ack), (ACK, table.next + 1));
    // An old SYN is no new one.
    let mut old = table.segment(SYN);
    old.seq = table.next - 500;
    table.now = table.now + Duration::from_secs(1);
    assert_eq!(table.says(old, &[])[0].0.flags, ACK);
    table.next = table.next + 5000;
    assert_eq!(table.says(table.segment(SYN), &[])[0].0.flags, SYN | ACK);
}

#[test]
fn nobody_s_segment_is_reset_and_a_reset_is_not() {
    let mut table = Table::new();
    table.ends.local.port = 81;
    let answers = table.says(table.segment(SYN), &[]);
    assert_eq!((answers[0].0.flags, answers[0].0.ack), (RST | ACK, Seq(1001)));
    table.expected = Seq(444);
    let answers = table.says(table.segment(ACK), b"abc");
    assert_eq!((answers[0].0.flags, answers[0].0.seq), (RST, Seq(444)));
    assert!(table.says(table.segment(RST), &[]).is_empty());
    assert!(table.says(table.segment(RST | ACK), &[]).is_empty());
}

/// RFC 9293 section 3.8.6.1: a closed window is asked for, less and less often, and the connection stays.
#[test]
fn a_closed_window_is_asked_for() {
    let mut table = Table::open();
    let mut closed = table.segment(ACK);
    closed.window = 0;
    table.says(closed, &[]);
    table.with(|connection| connection.write(b"hello"));
    assert!(table.turn().is_empty());
    let (mut questions, mut waited) = (0, 0);
    for _ in 0..6000 {
        waited += 1;
        for (question, data) in table.after(Duration::from_millis(100)) {
            assert_eq!((question.seq, data.len()), (table.expected - 1, 0));
            questions += 1;
            table.says(closed, &[]);
        }
    }
    assert!((8..30).contains(&questions), "{questions} questions in {waited} tenths of a second");
    let answers = table.says(table.segment(ACK), &[]);
    assert_eq!(answers[0].1, b"hello");
}

/// RFC 7323 section 5: what is old by its time stamp is not taken.
#[test]
fn old_time_stamps_are_refused() {
    let mut table = Table::new();
    let stamped =
        |table: &Table, flags, stamp| Segment { timestamps: Some((stamp, 0)), ..table.segment(flags) };
    let answers = table.says(stamped(&table, SYN, 500), &[]);
    assert_eq!(answers[0].0.timestamps.map(|(_, echo)| echo), Some(500));
    (table.expected, table.next) = (answers[0].0.seq + 1, Seq(1001));
    table.says(stamped(&table, ACK, 510), &[]);
    table.says(stamped(&table, ACK, 490), b"old");
    assert_eq!(table.tcp.get(0).map(|connection| connection.readable()), Some(0));
    table.says(stamped(&table, ACK, 520), b"new");
    assert_eq!(table.tcp.get(0).map(|connection| connection.readable()), Some(3));
}

/// An acknowledgement that nothing else calls for comes within 40 ms.
#[test]
fn acknowledgements_are_held_back_for_40_ms_at_most() {
    let mut table = Table::open();
    for n in 0..40 {
        let early = table.says(table.segment(ACK), &[1; 10]);
        table.with(|connection| connection.consume(Instant(0), |bytes| (bytes.len(), ())));
        table.next = table.next + 10;
        let late = table.after(Duration::from_millis(40));
        assert_eq!(early.len() + late.len(), 1, "{n}");
        if n > 30 {
            assert_eq!(late[0].0.ack, table.next);
        }
    }
}

/// RFC 6298 section 5: time-outs double, and progress ends that.
#[test]
fn time_outs_double_until_there_is_progress() {
    let mut table = Table::open();
    for round in 0..2 {
        table.with(|connection| connection.write(&[7; 1000]));
        assert_eq!(table.turn().len(), 1);
        let mut times = Vec::new();
        for step in 0..1700 {
            if !table.after(Duration::from_millis(1)).is_empty() {
                times.push(step);
            }
        }
        let gaps: Vec<i32> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(times[0] < 260 && gaps.len() >= 2, "round {round}: {times:?}");
        assert!(gaps.windows(2).all(|pair| (pair[1] - 2 * pair[0]).abs() < 10), "round {round}: {times:?}");
        table.expected = table.expected + 1000;
        table.says(table.segment(ACK), &[]);
    }
}

/// The memory for a connection is not there: as if the segment had been lost.
#[test]
fn who_is_not_admitted_is_ignored() {
    let mut table = Table::new();
    let (ends, segment) = (table.ends, table.segment(SYN));
    table.tcp.input(&ends, &segment, &[], table.now, &mut table.kept, |_, _| AcceptDecision::Ignored);
    assert!(table.turn().is_empty());
}
