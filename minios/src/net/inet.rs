//! TCP/IP on a net device: TCP by [`super::tcp`], everything else by smoltcp. Who uses it polls it.

use super::phy::Phy;
use super::tcp::connection::Ends;
use super::tcp::connections::{AcceptDecision, Admission, Connections};
use super::tcp::frame::{self, Addresses};
use crate::clock;
use crate::random;
use abi::boot::NetDevice;
use alloc::vec;
use core::time::Duration;
use smoltcp::iface::{Config, Interface, PollResult, SocketSet};
use smoltcp::time::Instant;
use smoltcp::wire::{
    EthernetAddress, IpAddress, IpCidr, IpEndpoint, Ipv4Address, Ipv4Cidr, Ipv6Address, Ipv6Cidr,
};

/// Packets taken in before the program has a turn.
const PACKETS: usize = 128;
/// Bytes of them: as much as one acknowledgement may stand for.
const BYTES: usize = 256 << 10;

/// TCP/IP on a device.
pub(super) struct Inet {
    pub phy: Phy,
    pub interface: Interface,
    pub sockets: SocketSet<'static>,
    pub tcp: Connections,
    addresses: Addresses,
    /// Packets have come for smoltcp, or its sockets were used.
    pub smoltcp_due: bool,
}

/// smoltcp's time.
fn instant(at: clock::Instant) -> Instant {
    Instant::from_micros((at.0 / 1000) as i64)
}

/// Gives an interface the device's addresses and routes.
fn configure(interface: &mut Interface, info: &NetDevice) {
    let (ipv4, ipv6) = (Ipv4Address::from(info.ipv4), Ipv6Address::from(info.ipv6));
    interface.update_ip_addrs(|addresses| {
        // There is room for two addresses; if there were not, the guest would do without the last.
        if !ipv4.is_unspecified() {
            let _ = addresses.push(IpCidr::Ipv4(Ipv4Cidr::new(ipv4, info.ipv4_prefix.min(32))));
        }
        if !ipv6.is_unspecified() {
            let _ = addresses.push(IpCidr::Ipv6(Ipv6Cidr::new(ipv6, info.ipv6_prefix.min(128))));
        }
    });
    let routes = interface.routes_mut();
    let (gateway4, gateway6) = (Ipv4Address::from(info.ipv4_gateway), Ipv6Address::from(info.ipv6_gateway));
    if !gateway4.is_unspecified() {
        let _ = routes.add_default_ipv4_route(gateway4);
    }
    if !gateway6.is_unspecified() {
        let _ = routes.add_default_ipv6_route(gateway6);
    }
}

impl Inet {
    /// Opens the instance's `index`-th net device; `None` if there is none, or if it is in use.
    pub fn open(index: usize) -> Option<Self> {
        let mut phy = Phy::open(index)?;
        let info = phy.info();
        let mac = EthernetAddress(info.mac);
        let mut config = Config::new(mac.into());
        config.random_seed = random::next_u64();
        let mut interface = Interface::new(config, &mut phy, instant(clock::now()));
        configure(&mut interface, info);
        let given = |ip: IpAddress| Some(ip).filter(|ip| !ip.is_unspecified());
        let ip = [Ipv4Address::from(info.ipv4).into(), Ipv6Address::from(info.ipv6).into()].map(given);
        let mut secret = [0; 32];
        for bytes in secret.as_chunks_mut::<8>().0 {
            *bytes = random::next_u64().to_le_bytes();
        }
        let tcp = Connections::new(info.mtu, secret);
        let sockets = SocketSet::new(vec![]);
        Some(Self { phy, interface, sockets, tcp, addresses: Addresses { mac, ip }, smoltcp_due: true })
    }

    /// Takes packets in, as many as belong to one turn of the program; whether there were any. For `accept` see
    /// [`Connections::input`].
    pub fn receive(
        &mut self,
        now: clock::Instant,
        mut accept: impl FnMut(u16, usize) -> AcceptDecision,
    ) -> bool {
        let (mut packets, mut bytes) = (0, 0);
        if self.phy.take_freed() {
            self.tcp.unblock();
            self.smoltcp_due = true;
        }
        while packets < PACKETS && bytes < BYTES && self.phy.advance(instant(now)) {
            let (packet, mut link) = self.phy.current_packet(instant(now));
            packets += 1;
            bytes += packet.len();
            match frame::parse(packet, &self.addresses) {
                frame::Frame::Segment(ends, segment, data) => {
                    let keeper = self.tcp.input(&ends, &segment, data, now, &mut link, &mut accept);
                    let place = data.as_ptr().addr() - packet.as_ptr().addr();
                    let place = place..place + data.len();
                    if let Some(connection) = keeper.and_then(|number| self.tcp.get_mut(number))
                        && let Some(buffer) = self.phy.lend(place)
                    {
                        connection.keep(buffer);
                    }
                }
                frame::Frame::Invalid => {}
                frame::Frame::Other => {
                    let mut single = self.phy.single();
                    self.interface.poll_ingress_single(instant(now), &mut single, &mut self.sockets);
                    self.smoltcp_due = true;
                    if self.phy.take_resolved().is_some() {
                        self.tcp.unblock();
                    }
                }
            }
        }
        packets > 0
    }

    /// Has smoltcp send what it has to, if anything has happened or its time has come.
    pub fn poll_others(&mut self, now: clock::Instant) {
        let mut due =
            || self.interface.poll_at(instant(now), &self.sockets).is_some_and(|at| at <= instant(now));
        if core::mem::take(&mut self.smoltcp_due) || due() {
            self.interface.poll_maintenance(instant(now));
            let interface = &mut self.interface;
            while interface.poll_egress(instant(now), &mut self.phy, &mut self.sockets)
                == PollResult::SocketStateChanged
            {}
        }
    }

    /// Sends what a connection has to send, with `acknowledge` acknowledgements too that could go with data.
    pub fn transmit(&mut self, number: usize, acknowledge: bool, now: clock::Instant) {
        let (_, mut link) = self.phy.current_packet(instant(now));
        self.tcp.transmit(number, acknowledge, now, &mut link);
    }

    /// The address here from which a peer is spoken to.
    fn address_for(&self, peer: &IpAddress) -> Option<IpAddress> {
        self.addresses.ip[usize::from(matches!(peer, IpAddress::Ipv6(_)))]
    }

    /// Begins a connection; `None`: there is no address for it here, or no port or memory left.
    pub fn connect(
        &mut self,
        remote: IpEndpoint,
        first_port: u16,
        admission: Admission,
        now: clock::Instant,
    ) -> Option<usize> {
        let local = self.address_for(&remote.addr)?;
        if remote.port == 0 || !remote.addr.is_unicast() || remote.addr == local {
            return None;
        }
        let port = self.tcp.free_port(first_port, remote, local, now)?;
        self.tcp.connect(Ends { remote, local: IpEndpoint::new(local, port) }, admission, now)
    }

    /// When there is something to do even if nothing arrives.
    pub fn deadline(&mut self, now: clock::Instant) -> Option<clock::Instant> {
        let others = self.interface.poll_delay(instant(now), &self.sockets);
        // smoltcp counts in microseconds; one more, or it would be asked just too early.
        let others = others.map(|delay| now + Duration::from_micros(delay.total_micros() + 1));
        [others, self.tcp.deadline()].into_iter().flatten().min()
    }
}
