//! `--tap`: a net device on a TAP of the host.

use super::values::{self, Addresses, address, mac_for, pair, prefixed};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Longest name of an interface, bytes (IFNAMSIZ without its end).
const NAME_MAXIMUM: usize = 15;

/// `NAME[,KEY=VALUE ...]` of `--tap`.
#[derive(Clone, Debug)]
pub struct TapOption {
    /// Name of the TAP.
    pub name: String,
    /// Network namespace that it is in.
    pub netns: Option<PathBuf>,
    /// Addresses of the host on it, with the length of their prefix.
    pub addresses: Vec<(IpAddr, u8)>,
    /// The guest's addresses.
    pub guest: Addresses,
    /// Largest layer-3 packet of both sides, bytes.
    pub mtu: u16,
    /// The device as the monitor's command line has it: KEY=VALUE each.
    pub device: Vec<String>,
}

impl FromStr for TapOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let name = parts.next().unwrap_or_default().to_owned();
        if name.is_empty() || name.contains('=') {
            return Err("must begin with the name of the TAP: NAME[,KEY=VALUE ...]".into());
        }
        if name.len() > NAME_MAXIMUM || name.contains(['/', ' ']) {
            return Err(format!(
                "{name:?} cannot name a TAP: use at most {NAME_MAXIMUM} characters, no / or blank"
            ));
        }
        let guest = Addresses::default();
        let mut o = Self { name, netns: None, addresses: Vec::new(), guest, mtu: 1500, device: Vec::new() };
        for part in parts {
            let (key, value) = pair(part)?;
            match key {
                "netns" if value.contains('/') => o.netns = Some(value.into()),
                "netns" => o.netns = Some(Path::new("/run/netns").join(value)),
                "address" => o.addresses.push(prefixed(value)?),
                "guest" => {
                    let own = prefixed(value)?;
                    let family = if own.0.is_ipv4() { "ipv4" } else { "ipv6" };
                    o.guest.own.push(own);
                    o.device.push(format!("{family}={value}"));
                }
                "gateway" => {
                    let gateway = address(value)?;
                    let family = if gateway.is_ipv4() { "ipv4" } else { "ipv6" };
                    o.guest.gateways.push(gateway);
                    o.device.push(format!("{family}-gateway={value}"));
                }
                "mtu" => o.mtu = values::mtu(value)?,
                "mac" | "queue" | "offload" => {
                    values::device(key, value)?;
                    o.device.push(part.into());
                }
                _ => {
                    return Err(format!(
                        "unknown key {key:?}; known are netns, address, guest, gateway, mac, mtu, queue, offload"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_option_is_read() {
        let o: TapOption =
            "t0,netns=n,address=10.0.0.2/24,address=fd00::2/64,guest=10.0.0.1/24,mtu=9000".parse().unwrap();
        assert_eq!(o.netns.unwrap(), Path::new("/run/netns/n"));
        assert_eq!(o.addresses.len(), 2);
        assert!(o.device.contains(&"ipv4=10.0.0.1/24".to_owned()));
        assert!(o.device.contains(&"mtu=9000".to_owned()));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "a=b",
            "t0,address=10.0.0.1",
            "t0,address=10.0.0.1/33",
            "t0,x=y",
            "t0,mtu=1",
            "t0,word",
            "t0,mac=zz",
            "t0,mac=01:00:00:00:00:00",
            "t0,queue=100",
            "t0,mtu=65522",
            "t0,offload=maybe",
            "a-name-that-is-far-too-long",
        ] {
            assert!(text.parse::<TapOption>().is_err(), "{text}");
        }
    }
}
