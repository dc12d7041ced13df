//! An interface of the host, in a namespace that another program has made perhaps, whose address an instance gets: what is
//! sent to that address reaches the guest, of every protocol.

use api::network::{Network, Taken, Uplink};
use futures_util::TryStreamExt;
use ipnet::Ipv4Net;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute};
use rtnetlink::{Handle, RouteMessageBuilder};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use switch::headers::Mac;

/// What an interface had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    address: Ipv4Net,
    gateway: Option<Ipv4Addr>,
    mac: Mac,
}

/// Whether the namespace of an interface that was taken over is gone.
pub fn is_gone(network: &Network) -> bool {
    let Some(Uplink { take_over: true, netns: Some(name), .. }) = &network.uplink else { return false };
    switch::netns::inside(Some(name), || Ok(())).is_err()
}

/// Does something with the kernel, in an uplink's namespace.
fn there<T: Send>(uplink: &Uplink, act: impl AsyncFnOnce(&Handle) -> io::Result<T> + Send) -> io::Result<T> {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        runtime.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection()?;
            let driver = tokio::spawn(connection);
            let outcome = act(&handle).await;
            driver.abort();
            outcome
        })
    };
    // A thread of its own: this one belongs to another runtime.
    std::thread::scope(|scope| {
        let there = scope.spawn(|| switch::netns::inside(uplink.netns.as_deref(), run));
        there.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn absent(what: &str, interface: &str) -> io::Error {
    io::Error::other(format!("{interface} has no {what}"))
}

async fn link(handle: &Handle, interface: &str) -> io::Result<(u32, Option<Mac>)> {
    let link = handle.link().get().match_name(interface.to_owned()).execute().try_next().await;
    let Ok(Some(link)) = link else {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no interface {interface}")));
    };
    let mac = link.attributes.iter().find_map(|a| match a {
        LinkAttribute::Address(bytes) => <[u8; 6]>::try_from(&bytes[..]).ok().map(Mac),
        _ => None,
    });
    Ok((link.header.index, mac))
}

fn v4(message: &AddressMessage) -> Option<Ipv4Net> {
    let local = message.attributes.iter().find_map(|a| match a {
        AddressAttribute::Local(IpAddr::V4(address)) => Some(*address),
        _ => None,
    })?;
    Ipv4Net::new(local, message.header.prefix_len).ok()
}

async fn gateway(handle: &Handle, index: u32) -> io::Result<Option<Ipv4Addr>> {
    let mut routes = handle.route().get(RouteMessageBuilder::<Ipv4Addr>::new().build()).execute();
    while let Some(route) = routes.try_next().await.map_err(io::Error::other)? {
        let through = route.attributes.contains(&RouteAttribute::Oif(index));
        let by = route.attributes.iter().find_map(|a| match a {
            RouteAttribute::Gateway(RouteAddress::Inet(gateway)) => Some(*gateway),
            _ => None,
        });
        if through && route.header.destination_prefix_length == 0 && by.is_some() {
            return Ok(by);
        }
    }
    Ok(None)
}

/// Takes what an interface has: from now on the host does not answer there.
pub fn take_over(uplink: &Uplink) -> io::Result<InterfaceAddress> {
    let Some(interface) = uplink.interfaces.first() else { return Err(absent("name", "the uplink")) };
    there(uplink, async |handle| {
        let (index, mac) = link(handle, interface).await?;
        let mac = mac.ok_or_else(|| absent("link-layer address", interface))?;
        let gateway = gateway(handle, index).await?;
        let addresses = handle.address().get().set_link_index_filter(index).execute();
        let addresses: Vec<AddressMessage> = addresses.try_collect().await.map_err(io::Error::other)?;
        let address = addresses.iter().find_map(v4).ok_or_else(|| absent("IPv4 address", interface))?;
        for one in addresses {
            handle.address().del(one).execute().await.map_err(io::Error::other)?;
        }
        Ok(InterfaceAddress { address, gateway, mac })
    })
}

/// Gives back what was taken, if the interface is still there.
pub fn release(network: &Network) -> io::Result<()> {
    let Some(uplink) = network.uplink.as_ref().filter(|u| u.take_over) else { return Ok(()) };
    let (Some(taken), Some(subnet)) = (&uplink.taken, network.subnet) else { return Ok(()) };
    if is_gone(network) {
        return Ok(());
    }
    let interface = uplink.interfaces.first().map_or("", String::as_str);
    there(uplink, async |handle| {
        let (index, _) = link(handle, interface).await?;
        let add = handle.address().add(index, taken.address.into(), subnet.prefix_len());
        add.replace().execute().await.map_err(io::Error::other)?;
        if let Some(gateway) = network.gateway {
            let route =
                RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).output_interface(index).build();
            handle.route().add(route).replace().execute().await.map_err(io::Error::other)?;
        }
        Ok(())
    })
}

impl InterfaceAddress {
    /// The network whose uplink it was.
    pub fn apply(&self, network: &mut Network) {
        network.subnet = Some(self.address.trunc());
        network.gateway = self.gateway;
        if let Some(uplink) = &mut network.uplink {
            uplink.taken = Some(Taken { address: self.address.addr(), mac: self.mac });
        }
    }
}
