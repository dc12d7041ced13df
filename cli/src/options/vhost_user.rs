//! `--net`: a net device on a switch, by its vhost-user socket.

use super::values::{self, Addresses, address, mac_for, pair, prefixed};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// `vhost-user=SOCKET[,KEY=VALUE ...]` of `--net`.
#[derive(Clone, Debug)]
pub struct VhostUserOption {
    /// The device as the monitor's command line has it: KEY=VALUE each.
    pub device: Vec<String>,
    /// The guest's addresses.
    pub guest: Addresses,
    /// The socket, if the monitor listens there.
    pub listens_at: Option<PathBuf>,
}

impl FromStr for VhostUserOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let first = parts.next().unwrap_or_default();
        let socket = first.strip_prefix("vhost-user=").or_else(|| first.strip_prefix("vhost-user:"));
        let socket = socket.filter(|s| !s.is_empty()).ok_or("must begin with vhost-user=SOCKET")?;
        // The monitor may run in another folder.
        let path = std::path::absolute(Path::new(socket)).map_err(|e| format!("{socket}: {e}"))?;
        let mut device = vec![format!("vhost-user={}", path.display())];
        let mut guest = Addresses::default();
        for part in parts {
            let (key, value) = pair(part)?;
            let family = |address: IpAddr| if address.is_ipv4() { "ipv4" } else { "ipv6" };
            match key {
                "guest" => {
                    let own = prefixed(value)?;
                    device.push(format!("{}={value}", family(own.0)));
                    guest.own.push(own);
                }
                "gateway" => {
                    let gateway = address(value)?;
                    device.push(format!("{}-gateway={value}", family(gateway)));
                    guest.gateways.push(gateway);
                }
                "server" | "wait" | "mac" | "mtu" | "queue" | "offload" => {
                    values::device(key, value)?;
                    device.push(part.into());
                }
                _ => {
                    return Err(format!(
                        "unknown key {key:?}; known are server, wait, guest, gateway, mac, mtu, queue, offload"
                    ));
                }
            }
        }
        if !device.iter().any(|d| d.starts_with("mac=")) {
            device.push(format!("mac={}", mac_for(socket)));
        }
        let listens_at = device.iter().any(|d| d == "server=on").then_some(path);
        Ok(Self { device, guest, listens_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_option_is_read() {
        let o: VhostUserOption =
            "vhost-user=/run/s,server=on,guest=10.0.0.1/24,gateway=fd00::1".parse().unwrap();
        let wanted = ["vhost-user=/run/s", "server=on", "ipv4=10.0.0.1/24", "ipv6-gateway=fd00::1"];
        assert_eq!(o.device[..4], wanted);
        assert!(o.device[4].starts_with("mac="));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "tap=x",
            "vhost-user=",
            "vhost-user=/s,guest=1",
            "vhost-user=/s,x=y",
            "vhost-user=/s,on",
            "vhost-user=/s,mac=zz",
            "vhost-user=/s,queue=100",
            "vhost-user=/s,mtu=65522",
            "vhost-user=/s,server=maybe",
            "vhost-user=/s,wait=soon",
        ] {
            assert!(text.parse::<VhostUserOption>().is_err(), "{text}");
        }
    }
}
