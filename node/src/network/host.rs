//! The host's own end of a network.

use super::host_mac;
use api::network::HostPort;
use futures_util::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::packet_route::address::AddressHeaderFlags;
use rtnetlink::{LinkMessageBuilder, LinkUnspec};
use std::io;

/// Gives a TAP, here or in a namespace, its link-layer address and its IP address.
pub fn set_up(host: &HostPort) -> io::Result<()> {
    let configure = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        runtime.block_on(configure_interface(host))
    };
    // A thread of its own: this one belongs to another runtime.
    std::thread::scope(|scope| {
        let there = scope.spawn(|| switch::netns::inside(host.netns.as_deref(), configure));
        there.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

async fn configure_interface(host: &HostPort) -> io::Result<()> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    let driver = tokio::spawn(connection);
    let link = handle.link().get().match_name(host.tap.clone()).execute().try_next().await;
    let Ok(Some(link)) = link else {
        return Err(io::Error::other("there is no such interface"));
    };
    let index = link.header.index;
    let mac = host_mac(&host.tap).0.to_vec();
    let same = LinkMessageBuilder::<LinkUnspec>::default().index(index).address(mac).build();
    handle.link().set(same).execute().await.map_err(io::Error::other)?;
    let both = [host.address.map(IpNet::V4), host.address6.map(IpNet::V6)];
    for address in both.into_iter().flatten() {
        let mut request = handle.address().add(index, address.addr(), address.prefix_len());
        // It is in force at once: the node has given it to nobody else (IPv6 would look for a duplicate for a second).
        request.message_mut().header.flags = AddressHeaderFlags::Nodad;
        request.replace().execute().await.map_err(|e| io::Error::other(format!("{address}: {e}")))?;
    }
    driver.abort();
    Ok(())
}
