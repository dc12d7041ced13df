//! Allowed address pairs: further source addresses that a port may use, as in Neutron.

use crate::mac::Mac;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Most pairs of a port: each is compared with what the port sends.
pub const MAX_PAIRS: usize = 64;

/// A further source that a port may use: an Ethernet address together with IP addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddressPair {
    /// IP addresses: one, or all of a prefix, such as `10.0.0.0/24`.
    #[serde(deserialize_with = "addresses")]
    pub address: IpNet,
    /// Ethernet address; the port's own if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
}

fn addresses<'de, D: Deserializer<'de>>(from: D) -> Result<IpNet, D::Error> {
    parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

/// An address, which is the prefix of itself alone, or a prefix.
fn parse(text: &str) -> Result<IpNet, String> {
    let found = text.parse::<IpAddr>().map(IpNet::from).or_else(|_| text.parse::<IpNet>());
    let prefix =
        found.map_err(|_| format!("{text:?} is neither an IP address nor a prefix, such as 10.0.0.0/24"))?;
    if prefix.trunc() != prefix {
        return Err(format!("{text} has host bits set; the prefix is {}", prefix.trunc()));
    }
    Ok(prefix)
}

/// `ADDRESS[/LENGTH][@MAC]`, as the command line has it.
impl FromStr for AddressPair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, mac) = match text.split_once('@') {
            Some((address, mac)) => (address, Some(mac.parse().map_err(|e| format!("{mac:?}: {e}"))?)),
            None => (text, None),
        };
        Ok(Self { address: parse(address)?, mac })
    }
}

impl fmt::Display for AddressPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        self.mac.map_or(Ok(()), |mac| write!(f, "@{mac}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_and_written() {
        for (text, written) in [
            ("10.0.0.9", "10.0.0.9/32"),
            ("10.0.0.0/24@02:00:00:00:00:09", "10.0.0.0/24@02:00:00:00:00:09"),
            ("fd00::9", "fd00::9/128"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(text.parse::<AddressPair>().unwrap().to_string(), written);
        }
        for text in
            ["", "10.0.0.1/24", "10.0.0.0/33", "10.0.0.9@", "10.0.0.9@x", "@02:00:00:00:00:09", "none"]
        {
            text.parse::<AddressPair>().unwrap_err();
        }
    }

    #[test]
    fn pairs_of_a_file_have_an_address_and_perhaps_a_mac() {
        let read = |text: &str| toml::from_str::<AddressPair>(text);
        let pair = read("address = \"10.0.0.9\"\nmac = \"02:00:00:00:00:09\"").unwrap();
        assert_eq!(pair, "10.0.0.9@02:00:00:00:00:09".parse().unwrap());
        assert!(read("mac = \"02:00:00:00:00:09\"").is_err());
        assert!(read("address = \"10.0.0.1/8\"").unwrap_err().to_string().contains("10.0.0.0/8"));
    }
}
