//! An end with smoltcp's TCP.

use super::Program;
use super::ours::{PORT, address, mac};
use crate::clock::Instant;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time;
use smoltcp::wire::{EthernetFrame, EthernetProtocol, HardwareAddress, IpCidr};
use std::collections::VecDeque;

/// IP packets in and out.
#[derive(Default)]
struct Packets {
    incoming: VecDeque<Vec<u8>>,
    outgoing: Vec<Vec<u8>>,
}

struct Incoming(Vec<u8>);
struct Outgoing<'a>(&'a mut Vec<Vec<u8>>);

impl RxToken for Incoming {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, work: F) -> R {
        work(&self.0)
    }
}

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, work: F) -> R {
        let mut packet = vec![0; length];
        let result = work(&mut packet);
        self.0.push(packet);
        result
    }
}

impl Device for Packets {
    type RxToken<'a> = Incoming;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, _: time::Instant) -> Option<(Incoming, Outgoing<'_>)> {
        self.incoming.pop_front().map(|packet| (Incoming(packet), Outgoing(&mut self.outgoing)))
    }

    fn transmit(&mut self, _: time::Instant) -> Option<Outgoing<'_>> {
        Some(Outgoing(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut caps = DeviceCapabilities::default();
        caps.medium = Medium::Ip;
        caps.max_transmission_unit = 1500;
        caps.checksum = ChecksumCapabilities::default();
        caps
    }
}

pub struct Theirs {
    own: usize,
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    packets: Packets,
    pub program: Program,
    pub frames: Vec<Vec<u8>>,
    closed: bool,
}

fn instant(at: Instant) -> time::Instant {
    time::Instant::from_micros((at.0 / 1000) as i64)
}

impl Theirs {
    pub fn new(own: usize, program: Program) -> Self {
        let mut packets = Packets::default();
        let mut interface =
            Interface::new(Config::new(HardwareAddress::Ip), &mut packets, instant(Instant(0)));
        interface.update_ip_addrs(|ips| ips.push(IpCidr::new(address(own), 24)).expect("there is room"));
        let buffer = || tcp::SocketBuffer::new(vec![0; 128 << 10]);
        let mut sockets = SocketSet::new(Vec::new());
        let handle = sockets.add(tcp::Socket::new(buffer(), buffer()));
        Self { own, interface, sockets, handle, packets, program, frames: Vec::new(), closed: false }
    }

    pub fn listen(&mut self) {
        self.sockets.get_mut::<tcp::Socket<'_>>(self.handle).listen(PORT).expect("it is new");
    }

    pub fn connect(&mut self) {
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(self.handle);
        socket.connect(self.interface.context(), (address(1 - self.own), PORT), 50_000).expect("it is new");
    }

    pub fn input(&mut self, bytes: &[u8]) {
        let frame = EthernetFrame::new_unchecked(bytes);
        if frame.ethertype() == EthernetProtocol::Ipv4 {
            self.packets.incoming.push_back(frame.payload().to_vec());
        }
    }

    pub fn turn(&mut self, now: Instant) {
        self.interface.poll(instant(now), &mut self.packets, &mut self.sockets);
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(self.handle);
        let program = &mut self.program;
        while let Ok(1..) = socket.recv(|bytes| {
            let n = program.read(bytes, now);
            (n, n)
        }) {}
        while program.to_send > 0
            && let Ok(1..) = socket.send(|room| {
                let n = program.fill(room);
                (n, n)
            })
        {}
        let peer_sends = socket.may_recv()
            || matches!(socket.state(), tcp::State::SynSent | tcp::State::SynReceived | tcp::State::Listen);
        program.ended |= !peer_sends && socket.recv_queue() == 0;
        if program.to_send == 0 && !self.closed && socket.may_send() {
            self.closed = true;
            socket.close();
        }
        self.interface.poll(instant(now), &mut self.packets, &mut self.sockets);
        for packet in self.packets.outgoing.drain(..) {
            let mut frame = vec![0; 14 + packet.len()];
            frame[..6].copy_from_slice(&mac(1 - self.own).0);
            frame[6..12].copy_from_slice(&mac(self.own).0);
            frame[12..14].copy_from_slice(&[8, 0]);
            frame[14..].copy_from_slice(&packet);
            self.frames.push(frame);
        }
    }

    pub fn deadline(&mut self, now: Instant) -> Option<Instant> {
        let delay = self.interface.poll_delay(instant(now), &self.sockets)?;
        Some(now + core::time::Duration::from_micros(delay.total_micros() + 1))
    }

    pub fn is_done(&self) -> bool {
        let state = self.sockets.get::<tcp::Socket<'_>>(self.handle).state();
        self.program.is_done() && matches!(state, tcp::State::TimeWait | tcp::State::Closed)
    }
}
