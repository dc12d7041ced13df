//! `--network` and `--restart`: what the node is asked for.

use super::values::{pair, switched};
use api::instance::{DeviceSpec, Restart};
use std::str::FromStr;

/// `NAME[,KEY=VALUE ...]` of `--network`: a net device on one of the node's networks.
#[derive(Clone, Debug)]
pub struct NetworkOption(pub DeviceSpec);

impl FromStr for NetworkOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let network = parts.next().filter(|n| !n.is_empty()).ok_or("the name of a network is missing")?;
        let mut device = DeviceSpec { network: network.into(), ..DeviceSpec::default() };
        for part in parts {
            let (key, value) = pair(part)?;
            match key {
                "address" => {
                    let address = value.parse();
                    let wrong = |_| format!("address: {value:?} is not an IPv4 address, such as 10.0.0.5");
                    device.address = Some(address.map_err(wrong)?);
                }
                "address6" => {
                    let address = value.parse();
                    let wrong = |_| format!("address6: {value:?} is not an IPv6 address, such as fd00::5");
                    device.address6 = Some(address.map_err(wrong)?);
                }
                "mac" => device.mac = Some(value.parse().map_err(|e| format!("mac: {value:?}: {e}"))?),
                "anti-spoofing" => {
                    device.anti_spoofing = Some(switched(value).map_err(|e| format!("{key}: {e}"))?);
                }
                "allow" => {
                    device.allowed_address_pairs.push(value.parse().map_err(|e| format!("allow: {e}"))?)
                }
                _ => {
                    let known = "address, address6, mac, anti-spoofing, allow";
                    return Err(format!("unknown key {key:?}; known are {known}"));
                }
            }
        }
        Ok(Self(device))
    }
}

/// A restart policy on the command line.
#[derive(Clone, Copy, Debug)]
pub struct RestartOption(pub Restart);

impl FromStr for RestartOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        serde_json::from_value(text.into()).map(Self).map_err(|_| "use never, on-failure or always".into())
    }
}
