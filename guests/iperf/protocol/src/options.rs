//! The words of iperf3's command line that the guest knows.

use crate::PORT;
use crate::parameters::Parameters;
use alloc::format;
use alloc::string::String;
use core::net::IpAddr;

/// What to be, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The server to go to; none: be one.
    pub server: Option<IpAddr>,
    /// Its port, or one's own.
    pub port: u16,
    /// A server that ends after one test.
    pub once: bool,
    /// Results as JSON.
    pub json: bool,
    /// A client's test.
    pub parameters: Parameters,
}

/// Bits per second over UDP unless `-b` says otherwise: 1 Mbit/s, as iperf3 counts it.
const UDP_RATE: u64 = 1 << 20;
/// Bytes of a block over TCP unless `-l` says otherwise.
const TCP_BLOCK: u32 = 128 << 10;

/// `10`, `10K`, `1.5M`, `2G`: with `unit` 1024 or 1000.
fn amount(text: &str, unit: u64) -> Option<u64> {
    let (digits, factor) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], unit),
        b'm' | b'M' => (&text[..text.len() - 1], unit * unit),
        b'g' | b'G' => (&text[..text.len() - 1], unit * unit * unit),
        _ => (text, 1),
    };
    let value = digits.parse::<f64>().ok()? * factor as f64;
    (0.0..1e18).contains(&value).then_some(value as u64)
}

/// Reads the words; `datagram` is what the link's datagrams hold.
pub fn parse(text: &str, datagram: u32) -> Result<Options, String> {
    let mut o = Options {
        server: None,
        port: PORT,
        once: false,
        json: false,
        parameters: Parameters { parallel: 1, ..Default::default() },
    };
    let (mut time, mut rate, mut length) = (None, None, None);
    let mut words = text.split_ascii_whitespace();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        let wrong = |value: &str| format!("{word} {value}: not a value that it takes");
        let count = |value: &str| value.parse::<u32>().map_err(|_| wrong(value));
        let bytes = |value: &str| amount(value, 1024).ok_or_else(|| wrong(value));
        let p = &mut o.parameters;
        match word {
            "-s" => {}
            "-c" => {
                let address = value()?;
                o.server = Some(address.parse().map_err(|_| wrong(address))?);
            }
            "-p" => {
                let port = value()?;
                o.port = port.parse().ok().filter(|&p| p > 0).ok_or_else(|| wrong(port))?;
            }
            "-1" => o.once = true,
            "-J" => o.json = true,
            "-u" => p.udp = true,
            "-R" => p.reverse = true,
            "-P" => p.parallel = count(value()?)?,
            "-t" => time = Some(count(value()?)?),
            "-O" => p.omit = count(value()?)?,
            "-n" => p.num = bytes(value()?)?,
            "-k" => p.blockcount = bytes(value()?)?,
            "-l" => {
                let given = value()?;
                length = Some(u32::try_from(bytes(given)?).map_err(|_| wrong(given))?);
            }
            "-b" => {
                let given = value()?;
                rate = Some(amount(given, 1000).ok_or_else(|| wrong(given))?);
            }
            "--udp-counters-64bit" => p.udp_counters_64bit = 1,
            _ => return Err(format!("{word} is not known here")),
        }
    }
    let p = &mut o.parameters;
    p.tcp = !p.udp;
    if time.is_some() as u8 + (p.num > 0) as u8 + (p.blockcount > 0) as u8 > 1 {
        return Err("only one of -t, -n, -k".into());
    }
    p.time = if p.num + p.blockcount > 0 { 0 } else { time.unwrap_or(10) };
    p.len = length.unwrap_or(if p.udp { datagram.min(1448) } else { TCP_BLOCK });
    p.bandwidth = rate.unwrap_or(if p.udp { UDP_RATE } else { 0 });
    p.client_version = "3.12".into();
    p.check(datagram).map_err(|refusal| String::from(refusal.text()))?;
    Ok(o)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_s_line_is_read() {
        let o = parse("-c 10.0.0.1 -p 77 -u -b 2.5M -l 1000 -t 3 -P 4 -R -J", 1472).unwrap();
        assert_eq!((o.server, o.port, o.json), (Some([10, 0, 0, 1].into()), 77, true));
        let p = o.parameters;
        assert_eq!((p.udp, p.tcp, p.bandwidth, p.len, p.time), (true, false, 2_500_000, 1000, 3));
        assert_eq!((p.parallel, p.reverse), (4, true));
    }

    #[test]
    fn what_is_not_said_has_iperf3_s_defaults() {
        let o = parse("", 1472).unwrap();
        assert_eq!((o.server, o.port, o.parameters.time, o.parameters.len), (None, 5201, 10, 131_072));
        assert_eq!(parse("-c ::1 -n 1M", 1472).unwrap().parameters.bytes(), Some(1 << 20));
        assert_eq!(parse("-c ::1 -u", 1472).unwrap().parameters.bandwidth, 1 << 20);
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "-c",
            "-c host",
            "-p 0",
            "-P 33",
            "-P x",
            "-l 2M",
            "-t 1 -n 1",
            "-u -l 1473",
            "-b -1",
            "--bidir",
            "x",
        ] {
            assert!(parse(line, 1472).is_err(), "{line}");
        }
    }
}
