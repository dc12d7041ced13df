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

/// A link-layer address that is always the same for the same name.
pub fn mac_for(name: &str) -> String {
    let m = machine::net::mac_from(name);
    m.map(|b| format!("{b:02x}")).join(":")
}
