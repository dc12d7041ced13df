//! Single values on the command line.

use std::net::IpAddr;

/// `NAME=VALUE`.
pub fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("is not NAME=VALUE".into()),
    }
}

/// `KEY=VALUE`, a part of an option.
pub fn pair(text: &str) -> Result<(&str, &str), String> {
    text.split_once('=').ok_or_else(|| format!("{text:?} is not KEY=VALUE"))
}

/// `10.0.0.1/24`: an address and the length of its prefix.
pub fn prefixed(text: &str) -> Result<(IpAddr, u8), String> {
    let wrong = || format!("{text:?} is not ADDRESS/LENGTH, such as 10.0.0.1/24");
    let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.parse().ok().filter(|&p: &u8| p <= most).ok_or_else(wrong)?;
    Ok((address, prefix))
}

/// An IP address.
pub fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is not an IP address"))
}

/// Addresses that a guest is given on one of its devices.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// Its own, with the length of their prefix.
    pub own: Vec<(IpAddr, u8)>,
    /// Default gateways.
    pub gateways: Vec<IpAddr>,
}

impl Addresses {
    /// What is not wrong in itself, and yet will not do what its user expects. `host`: the host's own addresses on the
    /// other end of the device.
    pub fn doubts(&self, host: &[(IpAddr, u8)]) -> Vec<String> {
        let mut doubts = Vec::new();
        for &(own, _) in &self.own {
            let near: Vec<&(IpAddr, u8)> =
                host.iter().filter(|(a, _)| a.is_ipv4() == own.is_ipv4()).collect();
            if near.iter().any(|(a, _)| *a == own) {
                doubts.push(format!("guest={own} is the host's own address"));
            } else if !near.is_empty() && !near.iter().any(|n| is_in(own, **n)) {
                doubts.push(format!("guest={own} lies outside the subnet of the host's address"));
            }
        }
        for &gateway in &self.gateways {
            let near: Vec<&(IpAddr, u8)> =
                self.own.iter().filter(|(a, _)| a.is_ipv4() == gateway.is_ipv4()).collect();
            if near.iter().any(|(a, _)| *a == gateway) {
                doubts.push(format!("gateway={gateway} is the guest's own address"));
            } else if !near.iter().any(|n| is_in(gateway, **n)) {
                doubts.push(format!("gateway={gateway} lies outside the guest's subnet"));
            }
        }
        doubts
    }
}

/// Whether an address is in the subnet of another.
fn is_in(address: IpAddr, (of, prefix): (IpAddr, u8)) -> bool {
    // The first bits of both, IPv4's at the front.
    let bits = |address: IpAddr| match address {
        IpAddr::V4(a) => u128::from(a.to_bits()) << 96,
        IpAddr::V6(a) => a.to_bits(),
    };
    (bits(address) ^ bits(of)).checked_shr(128 - u32::from(prefix)).unwrap_or(0) == 0
}

/// `on` or `off`.
pub fn switched(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("{text:?} is neither on nor off")),
    }
}

/// A number of seconds, up to a day.
pub fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(s) if (0.0..=86400.0).contains(&s) => Ok(s),
        _ => Err("is not a number of seconds, up to a day".into()),
    }
}

/// A number of seconds, up to an hour.
pub fn seconds_of_an_hour(text: &str) -> Result<f64, String> {
    seconds(text).and_then(|s| if s <= 3600.0 { Ok(s) } else { Err("is more than an hour".into()) })
}

/// Seconds between two updates of a table.
pub fn interval(text: &str) -> Result<f64, String> {
    seconds(text).and_then(|s| if s >= 0.1 { Ok(s) } else { Err("is less than a tenth of a second".into()) })
}

/// Checks the value of a device's key that the monitor is given as it is typed.
pub fn device(key: &str, value: &str) -> Result<(), String> {
    match key {
        "mac" => machine::options::parse_mac(value).map(drop).ok_or_else(|| {
            format!("mac: {value:?} is not the address of one device, such as 02:00:00:00:00:01")
        }),
        "queue" => match value.parse::<u32>() {
            Ok(n) if n.is_power_of_two() && (8..=1024).contains(&n) => Ok(()),
            _ => Err(format!("queue: {value:?} is not a power of two from 8 to 1024")),
        },
        "mtu" => mtu(value).map(drop),
        "wait" => {
            value.parse::<u32>().map(drop).map_err(|_| format!("wait: {value:?} is not a number of seconds"))
        }
        _ => switched(value).map(drop).map_err(|e| format!("{key}: {e}")),
    }
}

/// Largest layer-3 packet, bytes: at least what IPv4 asks for (RFC 791), and at most what the kernel lets a TAP have.
pub fn mtu(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(mtu) if (68..=65521).contains(&mtu) => Ok(mtu),
        _ => Err(format!("mtu: {text:?} is not a number from 68 to 65521")),
    }
}

/// Microseconds that an idle guest polls, or `always`.
pub fn poll(text: &str) -> Result<String, String> {
    let most = u32::MAX / 1000 - 1;
    match text.parse::<u32>() {
        Ok(us) if us <= most => Ok(text.into()),
        _ if text == "always" => Ok(text.into()),
        _ => Err(format!("is neither `always` nor a number of microseconds up to {most}")),
    }
}

/// A link-layer address that is always the same for the same name.
pub fn mac_for(name: &str) -> String {
    let m = machine::net::mac_from(name);
    m.map(|b| format!("{b:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_will_not_do_are_doubted() {
        let with = |own: &[&str], gateways: &[&str]| Addresses {
            own: own.iter().map(|text| prefixed(text).unwrap()).collect(),
            gateways: gateways.iter().map(|text| text.parse().unwrap()).collect(),
        };
        let host = [prefixed("10.0.0.2/24").unwrap(), prefixed("fd00::2/64").unwrap()];
        for (addresses, said) in [
            (with(&["10.0.0.1/24", "fd00::1/64"], &["10.0.0.2", "fd00::2"]), &[][..]),
            (with(&["10.0.0.2/24"], &[]), &["the host's own"]),
            (with(&["10.0.1.1/24"], &[]), &["outside the subnet of the host"]),
            (with(&["fd01::1/64"], &[]), &["outside the subnet of the host"]),
            (with(&["10.0.0.1/32"], &["10.0.0.2"]), &["outside the guest's subnet"]),
            (with(&["10.0.0.1/0"], &["192.0.2.1"]), &[]),
            (with(&[], &["10.0.0.2"]), &["outside the guest's subnet"]),
            (with(&["10.0.0.1/24"], &["10.0.0.1"]), &["the guest's own"]),
        ] {
            let doubts = addresses.doubts(&host);
            assert_eq!(doubts.len(), said.len(), "{doubts:?}");
            assert!(doubts.iter().zip(said).all(|(doubt, said)| doubt.contains(said)), "{doubts:?}");
        }
    }
}
