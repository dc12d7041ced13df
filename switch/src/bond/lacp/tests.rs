use super::*;
use proptest::prelude::*;

/// Two systems with links between them, on a clock that is turned by hand.
struct World {
    sides: [Vec<Link>; 2],
    cut: Vec<bool>,
    now: Millis,
    heard: usize,
}

fn mac(n: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, n])
}

impl World {
    fn new(links: usize, fast: bool) -> Self {
        let side = |n: u8| (0..links as u16).map(|p| Link::new((0xffff, mac(n)), 1, p + 1, fast)).collect();
        let mut w = Self { sides: [side(1), side(2)], cut: vec![false; links], now: 0, heard: 0 };
        for side in &mut w.sides {
            side.iter_mut().for_each(|l| l.carrier(true, 0));
        }
        w
    }

    /// Lets time pass, in tenths of a second.
    fn pass(&mut self, millis: Millis) {
        let end = self.now + millis;
        while self.now < end {
            self.now += 100;
            for from in 0..2 {
                for i in 0..self.cut.len() {
                    let links = &mut self.sides[from];
                    select(links);
                    links[i].run_machines(self.now);
                    let pdu = links[i].transmit(self.now);
                    if let Some(pdu) = pdu.filter(|_| !self.cut[i]) {
                        self.heard += 1;
                        self.sides[1 - from][i].receive_pdu(&pdu, self.now);
                    }
                }
            }
        }
    }

    fn distributing(&self, side: usize) -> Vec<bool> {
        self.sides[side].iter().map(Link::distributes).collect()
    }
}

#[test]
fn two_systems_come_together() {
    let mut w = World::new(2, true);
    w.pass(5000);
    assert_eq!([w.distributing(0), w.distributing(1)], [[true, true], [true, true]]);
}

#[test]
fn a_silent_link_is_left_after_three_seconds_and_taken_back() {
    let mut w = World::new(2, true);
    w.pass(5000);
    w.cut[1] = true;
    w.pass(3500);
    assert_eq!(w.distributing(0), [true, false]);
    w.pass(10_000);
    assert_eq!(w.sides[0][1].receive, Receive::Defaulted);
    w.cut[1] = false;
    w.pass(5000);
    assert_eq!(w.distributing(0), [true, true]);
}

#[test]
fn a_link_without_carrier_is_left_at_once() {
    let mut w = World::new(2, false);
    w.pass(5000);
    let now = w.now;
    w.sides[0][0].carrier(false, now);
    select(&mut w.sides[0]);
    w.sides[0][0].run_machines(now);
    assert_eq!(w.distributing(0), [false, true]);
}

#[test]
fn slow_links_speak_every_thirty_seconds_and_are_missed_after_ninety() {
    let mut w = World::new(1, false);
    w.pass(10_000);
    let before = w.heard;
    w.pass(60_000);
    assert!((3..=5).contains(&(w.heard - before)), "{}", w.heard - before);
    w.cut[0] = true;
    w.pass(50_000);
    assert_eq!(w.distributing(0), [true]);
    w.pass(45_000);
    assert_eq!(w.distributing(0), [false]);
}

#[test]
fn of_two_partners_the_one_with_more_links_is_selected() {
    let mut w = World::new(3, true);
    w.sides[1][0] = Link::new((0xffff, mac(9)), 1, 1, true);
    let now = w.now;
    w.sides[1][0].carrier(true, now);
    w.pass(6000);
    assert_eq!(w.distributing(0), [false, true, true]);
    assert_eq!(w.sides[0][0].selection, Selection::Standby);
}

#[test]
fn a_loop_is_no_partner() {
    let mut link = Link::new((0xffff, mac(1)), 1, 1, true);
    link.carrier(true, 0);
    for now in (0..10_000).step_by(100) {
        select(std::slice::from_mut(&mut link));
        link.run_machines(now);
        if let Some(pdu) = link.transmit(now) {
            link.receive_pdu(&pdu, now);
        }
    }
    assert!(!link.collects() && link.receive == Receive::Defaulted);
}

#[test]
fn a_link_that_is_put_on_standby_is_detached() {
    let mut w = World::new(1, true);
    w.pass(5000);
    let link = &mut w.sides[0][0];
    assert_eq!(link.mux, Mux::Distributing);
    link.selection = Selection::Standby;
    link.run_machines(w.now);
    // It waits detached from the aggregator: out of synchronization.
    assert_eq!(link.mux, Mux::Waiting);
    assert!(!link.actor.has(state::SYNCHRONIZATION) && !link.collects() && !link.distributes());
}

#[test]
fn a_partner_with_a_stale_view_is_answered_at_once() {
    let mut w = World::new(1, false);
    w.pass(10_000);
    let link = &mut w.sides[0][0];
    assert!(link.transmit(w.now).is_none());
    for stale in [
        |s: &mut Side| s.set(state::SYNCHRONIZATION, false),
        |s: &mut Side| s.key += 1,
        |s: &mut Side| s.port_priority += 1,
    ] {
        w.now += 5000;
        let mut pdu = Lacpdu { actor: link.partner, partner: link.actor };
        link.receive_pdu(&pdu, w.now);
        assert!(link.transmit(w.now).is_none());
        stale(&mut pdu.partner);
        link.receive_pdu(&pdu, w.now);
        assert_eq!(link.transmit(w.now).map(|p| p.actor), Some(link.actor));
    }
}

#[test]
fn the_partner_of_a_link_that_leaves_hears_of_it() {
    let mut w = World::new(2, false);
    w.pass(5000);
    let now = w.now;
    let last = w.sides[0][1].leave(now).unwrap();
    w.sides[1][1].receive_pdu(&last, now);
    select(&mut w.sides[1]);
    w.sides[1][1].run_machines(now);
    w.sides[1][0].run_machines(now);
    assert_eq!(w.distributing(1), [true, false], "and the other link goes on");
    assert_eq!(w.sides[0][1].carrier(false, now), ());
    assert_eq!(w.sides[0][1].leave(now), None);
}

proptest! {
    #[test]
    fn whatever_happens_two_systems_come_together_afterwards(
        events in proptest::collection::vec((0usize..2, 0usize..2, any::<bool>(), 0u64..5000), 0..20),
        fast: bool,
    ) {
        let mut w = World::new(2, fast);
        for (side, link, up, time) in events {
            let now = w.now;
            w.sides[side][link].carrier(up, now);
            w.pass(time / 100 * 100);
        }
        let now = w.now;
        for side in &mut w.sides {
            side.iter_mut().for_each(|l| l.carrier(true, now));
        }
        w.pass(110_000);
        prop_assert_eq!([w.distributing(0), w.distributing(1)], [[true, true], [true, true]]);
    }

    #[test]
    fn any_message_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..130)) {
        let mut link = Link::new((0xffff, mac(1)), 1, 1, true);
        link.carrier(true, 0);
        let mut frame = vec![0; 12];
        frame.extend([0x88, 0x09, 1, 1, 1, 20]);
        frame.extend(bytes);
        if frame.len() > 38 {
            frame[36..38].copy_from_slice(&[2, 20]);
        }
        if let Some(pdu) = Lacpdu::parse(&frame) {
            link.receive_pdu(&pdu, 10);
            select(std::slice::from_mut(&mut link));
            link.run_machines(20);
        }
    }
}
