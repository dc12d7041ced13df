//! An end with this TCP.

use super::super::connection::Ends;
use super::super::connections::{AcceptDecision, Admission, Connections};
use super::super::frame::{self, Addresses, Frame};
use super::super::output::{Blocked, Link};
use super::super::segment::Segment;
use super::Program;
use crate::clock::Instant;
use crate::net::checksum;
use smoltcp::wire::{EthernetAddress, IpAddress, IpEndpoint};

pub const PORT: u16 = 80;

pub fn mac(end: usize) -> EthernetAddress {
    EthernetAddress([2, 0, 0, 0, 0, end as u8 + 1])
}

pub fn address(end: usize) -> IpAddress {
    IpAddress::v4(10, 0, 0, end as u8 + 1)
}

/// Carries segments to a list of frames, cut as a device would.
pub struct Cutter {
    pub own: usize,
    pub frames: Vec<Vec<u8>>,
    /// Whether large segments are taken.
    pub cuts: bool,
    /// Frames that there is room for.
    pub room: usize,
}

impl Link for Cutter {
    fn largest(&self, ends: &Ends) -> u32 {
        frame::payload(ends, if self.cuts { 65_535 } else { 1500 })
    }

    fn send(
        &mut self,
        ends: &Ends,
        segment: &Segment,
        data: (&[u8], &[u8]),
        mss: u16,
    ) -> Result<(), Blocked> {
        if self.frames.len() >= self.room {
            return Err(Blocked::Room);
        }
        let all = [data.0, data.1].concat();
        assert!(self.cuts || all.len() <= usize::from(mss), "{} bytes in a segment of {mss}", all.len());
        assert!(frame::length(ends, segment, all.len()) <= 14 + 65_535);
        let mut rest = &all[..];
        let mut piece = *segment;
        loop {
            let now = if mss == 0 { rest } else { &rest[..rest.len().min(mss.into())] };
            rest = &rest[now.len()..];
            piece.flags = segment.flags;
            if !rest.is_empty() {
                piece.flags &= !(super::super::segment::FIN | super::super::segment::PSH);
            }
            let mut bytes = vec![0; frame::length(ends, &piece, now.len())];
            assert!(bytes.len() <= 1514, "a frame of {} bytes", bytes.len());
            frame::emit(&mut bytes, (mac(self.own), mac(1 - self.own)), ends, &piece, (now, &[]));
            checksum::place(&bytes).expect("TCP has a checksum").complete(&mut bytes);
            self.frames.push(bytes);
            piece.seq = piece.seq + now.len() as u32;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }
}

/// The end.
pub struct Ours {
    pub tcp: Connections,
    pub cutter: Cutter,
    pub program: Program,
    /// The connection that the program has.
    pub number: Option<usize>,
    /// Most bytes in each direction.
    pub bytes: usize,
    /// The connection has ended otherwise than in order.
    pub broken: bool,
    closed: bool,
}

impl Ours {
    pub fn new(own: usize, program: Program) -> Self {
        Self {
            tcp: Connections::new(1500, [own as u8 + 7; 32]),
            cutter: Cutter { own, frames: Vec::new(), cuts: true, room: usize::MAX },
            program,
            number: None,
            bytes: 1 << 20,
            broken: false,
            closed: false,
        }
    }

    fn admission(&self) -> Admission {
        Admission { receive: self.bytes, transmit: self.bytes }
    }

    pub fn connect(&mut self, now: Instant) {
        let own = self.cutter.own;
        let ends = Ends {
            remote: IpEndpoint::new(address(1 - own), PORT),
            local: IpEndpoint::new(address(own), 50_000),
        };
        self.number = self.tcp.connect(ends, self.admission(), now);
    }

    pub fn input(&mut self, bytes: &[u8], now: Instant) {
        if checksum::place(bytes).is_some_and(|place| !place.verify(bytes)) {
            return;
        }
        let own = self.cutter.own;
        let addresses = Addresses { mac: mac(own), ip: [Some(address(own)), None] };
        if let Frame::Segment(ends, segment, data) = frame::parse(bytes, &addresses) {
            let admission = self.admission();
            self.tcp.input(&ends, &segment, data, now, &mut self.cutter, |port, _| match port {
                PORT => AcceptDecision::Admitted(admission),
                _ => AcceptDecision::Refused,
            });
        }
    }

    /// Does what is due; frames to be sent are in the cutter then.
    pub fn turn(&mut self, now: Instant) {
        self.tcp.unblock();
        self.tcp.expire(now);
        if let Some(number) = self.number {
            self.tcp.touch(number);
        }
        while let Some(number) = self.tcp.next_touched() {
            let Some(connection) = self.tcp.get_mut(number) else { continue };
            if connection.is_open() && self.number.is_none() {
                self.number = Some(number);
            }
            if self.number == Some(number) {
                let program = &mut self.program;
                while let Some(1..) = connection.consume(now, |bytes| {
                    let n = program.read(bytes, now);
                    (n, n)
                }) {}
                while program.to_send > 0
                    && let Some(1..) = connection.produce(|room| {
                        let n = program.fill(room);
                        (n, n)
                    })
                {}
                program.ended |= connection.is_read();
                if program.to_send == 0 && !self.closed && connection.is_open() {
                    self.closed = true;
                    connection.close();
                }
            }
            self.tcp.transmit(number, true, now, &mut self.cutter);
            let connection = self.tcp.get(number).expect("it is there");
            if connection.is_over() && connection.readable() == 0 {
                if self.number == Some(number) {
                    self.broken |= !self.program.is_done() || !connection.is_delivered();
                    self.number = None;
                }
                self.tcp.remove(number);
            }
        }
    }

    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let paused = Some(self.program.paused_until).filter(|at| *at > now);
        [self.tcp.deadline(), paused].into_iter().flatten().min()
    }

    /// Whether its program is done and nothing is left.
    pub fn is_done(&self) -> bool {
        self.program.is_done() && self.number.is_none()
    }
}
