//! Opens TAPs for instances: creates them if they are absent, in the namespace of choice, and brings the host's side up.

use crate::options::tap::TapOption;
use futures_util::TryStreamExt;
use machine::error::Error;
use rtnetlink::packet_route::address::AddressHeaderFlags;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::{LinkMessageBuilder, LinkUnspec};
use tap::Tap;

/// Opens the TAP and brings the host's side up.
pub fn open(o: &TapOption) -> Result<Tap, Error> {
    let here = || {
        let tap = machine::net::tap::open(&o.name)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .map_err(|source| Error::System { doing: "talk to the kernel's network", source })?;
        runtime.block_on(configure(o)).map_err(|e| refused(o, &e))?;
        Ok(tap)
    };
    match &o.netns {
        None => here(),
        Some(path) if !path.exists() => {
            let name = path.file_name().unwrap_or_default().display();
            Err(Error::Configuration(format!(
                "there is no network namespace {}; create it with: ip netns add {name}",
                path.display()
            )))
        }
        Some(path) => machine::net::tap::in_namespace(path, here),
    }
}

async fn configure(o: &TapOption) -> Result<(), rtnetlink::Error> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(|_| rtnetlink::Error::RequestFailed)?;
    let driver = tokio::spawn(connection);
    let link = handle.link().get().match_name(o.name.clone()).execute().try_next().await?;
    let link = link.ok_or(rtnetlink::Error::RequestFailed)?;
    let index = link.header.index;
    if o.addresses.is_empty() && is_as_wanted(o, &link) {
        // An ordinary user may use what root has set up, and not touch it.
        driver.abort();
        return Ok(());
    }
    for (address, prefix) in &o.addresses {
        let mut request = handle.address().add(index, *address, *prefix);
        // It is in force at once: without this, IPv6 looks for a duplicate for a second.
        request.message_mut().header.flags = AddressHeaderFlags::Nodad;
        request.replace().execute().await?;
    }
    let up = LinkMessageBuilder::<LinkUnspec>::default().index(index).mtu(o.mtu.into()).up().build();
    handle.link().set(up).execute().await?;
    driver.abort();
    Ok(())
}

fn is_as_wanted(o: &TapOption, link: &LinkMessage) -> bool {
    let mtu = LinkAttribute::Mtu(o.mtu.into());
    link.header.flags.contains(LinkFlags::Up) && link.attributes.contains(&mtu)
}

fn refused(o: &TapOption, e: &rtnetlink::Error) -> Error {
    if let rtnetlink::Error::NetlinkError(m) = e
        && m.raw_code() == -libc::EPERM
    {
        return Error::Permission { doing: format!("configure TAP {}", o.name), hint: "run as root".into() };
    }
    Error::Host { problem: format!("TAP {}: {e}", o.name), hint: "check its address and MTU".into() }
}
