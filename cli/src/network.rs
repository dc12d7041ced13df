//! TAPs for instances: made if absent, in a namespace of choice, with an address for the host's side.

use futures_util::TryStreamExt;
use machine::error::Error;
use machine::net::tap;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::{LinkMessageBuilder, LinkUnspec};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// `NAME[,KEY=VALUE ...]` of `--tap`.
#[derive(Clone, Debug)]
pub struct TapOptions {
    /// The TAP's name.
    pub name: String,
    /// Namespace that it is in.
    pub netns: Option<PathBuf>,
    /// Addresses of the host's side.
    pub addresses: Vec<(IpAddr, u8)>,
    /// MTU of both sides.
    pub mtu: u16,
    /// What goes to the monitor as it is.
    pub device: Vec<String>,
}

impl FromStr for TapOptions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let name = parts.next().unwrap_or_default().to_owned();
        if name.is_empty() || name.contains('=') {
            return Err("begins with the TAP's name: NAME[,KEY=VALUE ...]".into());
        }
        let mut o = Self { name, netns: None, addresses: Vec::new(), mtu: 1500, device: Vec::new() };
        for part in parts {
            let (key, value) = part.split_once('=').ok_or(format!("{part:?} is not KEY=VALUE"))?;
            match key {
                "netns" if value.contains('/') => o.netns = Some(value.into()),
                "netns" => o.netns = Some(Path::new("/run/netns").join(value)),
                "address" => o.addresses.push(prefixed(value)?),
                "guest" => {
                    let family = if prefixed(value)?.0.is_ipv4() { "ipv4" } else { "ipv6" };
                    o.device.push(format!("{family}={value}"));
                }
                "gateway" => {
                    let gateway: IpAddr = value.parse().map_err(|_| format!("{value:?} is no address"))?;
                    let family = if gateway.is_ipv4() { "ipv4" } else { "ipv6" };
                    o.device.push(format!("{family}-gateway={value}"));
                }
                "mtu" => {
                    o.mtu =
                        value.parse().ok().filter(|&m| m >= 68).ok_or("mtu is a number from 68 to 65535")?;
                }
                "mac" | "queue" | "offload" => o.device.push(part.into()),
                _ => {
                    return Err(format!(
                        "{key:?} is none of netns, address, guest, gateway, mac, mtu, queue, offload"
                    ));
                }
            }
        }
        if !o.device.iter().any(|d| d.starts_with("mac=")) {
            o.device.push(format!("mac={}", mac_for(&o.name)));
        }
        o.device.push(format!("mtu={}", o.mtu));
        Ok(o)
    }
}

/// `10.0.0.1/24`: an address and the length of its prefix.
pub fn prefixed(text: &str) -> Result<(IpAddr, u8), String> {
    let wrong = || format!("{text:?} is not ADDRESS/PREFIX");
    let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.parse().ok().filter(|&p: &u8| p <= most).ok_or_else(wrong)?;
    Ok((address, prefix))
}

/// A link-layer address that is the same for the same TAP.
pub fn mac_for(name: &str) -> String {
    let m = machine::net::mac_from(name);
    m.map(|b| format!("{b:02x}")).join(":")
}

/// Opens the TAP and brings the host's side up.
pub fn open(o: &TapOptions) -> Result<OwnedFd, Error> {
    let here = || {
        let fd = tap::open(&o.name)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .map_err(|source| Error::System { doing: "talk to the kernel's network", source })?;
        runtime.block_on(configure(o)).map_err(|e| refused(o, &e))?;
        Ok(fd)
    };
    match &o.netns {
        None => here(),
        Some(path) if !path.exists() => {
            let name = path.file_name().unwrap_or_default().display();
            Err(Error::Configuration(format!(
                "no network namespace {}; make it: ip netns add {name}",
                path.display()
            )))
        }
        Some(path) => tap::in_namespace(path, here),
    }
}

async fn configure(o: &TapOptions) -> Result<(), rtnetlink::Error> {
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
        handle.address().add(index, *address, *prefix).replace().execute().await?;
    }
    let up = LinkMessageBuilder::<LinkUnspec>::default().index(index).mtu(o.mtu.into()).up().build();
    handle.link().set(up).execute().await?;
    driver.abort();
    Ok(())
}

fn is_as_wanted(o: &TapOptions, link: &LinkMessage) -> bool {
    let mtu = LinkAttribute::Mtu(o.mtu.into());
    link.header.flags.contains(LinkFlags::Up) && link.attributes.contains(&mtu)
}

fn refused(o: &TapOptions, e: &rtnetlink::Error) -> Error {
    if let rtnetlink::Error::NetlinkError(m) = e
        && m.raw_code() == -libc::EPERM
    {
        return Error::Permission { doing: format!("configure TAP {}", o.name), hint: "run as root".into() };
    }
    Error::Host { problem: format!("TAP {}: {e}", o.name), hint: "check its address and MTU".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_option_is_read() {
        let o: TapOptions =
            "t0,netns=n,address=10.0.0.2/24,address=fd00::2/64,guest=10.0.0.1/24,mtu=9000".parse().unwrap();
        assert_eq!(o.netns.unwrap(), Path::new("/run/netns/n"));
        assert_eq!(o.addresses.len(), 2);
        assert!(o.device.contains(&"ipv4=10.0.0.1/24".to_owned()));
        assert!(o.device.contains(&"mtu=9000".to_owned()));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in
            ["", "a=b", "t0,address=10.0.0.1", "t0,address=10.0.0.1/33", "t0,x=y", "t0,mtu=1", "t0,word"]
        {
            assert!(text.parse::<TapOptions>().is_err(), "{text}");
        }
    }
}
