//! Click files before they run.

use crate::images::Config;
use crate::options::values::Addresses;
use click::{Addressed, Misfit, Source};
use machine::error::Error;
use std::net::IpAddr;

/// Refuses a Click file that cannot run, or that uses net devices or addresses which are not given.
pub fn check(config: &Config, variables: &[(String, String)], devices: &[&Addresses]) -> Result<(), Error> {
    let text = std::str::from_utf8(&config.bytes).map_err(|e| {
        Error::Configuration(format!("{}: byte {} is not UTF-8 text", config.name, e.valid_up_to()))
    })?;
    let source = Source { name: &config.name, text };
    let has = |device: &Addresses, of: fn(&IpAddr) -> bool| device.own.iter().any(|(address, _)| of(address));
    let addressed: Vec<Addressed> = devices
        .iter()
        .map(|device| Addressed { ipv4: has(device, IpAddr::is_ipv4), ipv6: has(device, IpAddr::is_ipv6) })
        .collect();
    match click::check_for(&source, variables, &addressed) {
        Ok(_) => Ok(()),
        Err(Misfit::Addresses(d)) => Err(Error::Configuration(format!(
            "{}\n  give the device such an address: --tap NAME,guest=ADDRESS/LENGTH",
            d.to_string().trim_end()
        ))),
        Err(Misfit::Configuration(d)) => Err(Error::Configuration(d.to_string().trim_end().to_owned())),
        Err(Misfit::Devices(message)) => {
            let advice = "add --tap NAME or --net vhost-user=SOCKET for each";
            Err(Error::Configuration(format!("{message}; {advice}")))
        }
    }
}

/// A configuration with the libraries that it requires in it. `name`: what messages call it.
pub fn expand(name: &str, text: String) -> Result<String, Error> {
    click_host::library::expand(name, text, None).map_err(Error::Configuration)
}
