//! Options of IP and TCP headers as packet summaries write them: `rr{10.0.0.1^}`, `mss1460;sackok`.

use std::fmt::Write;

/// Bytes that a header has for options.
const ROOM: usize = 40;

/// Most bytes of options with those that only fill up.
const MOST: usize = 1024;

/// Which options of TCP a field shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// All of them.
    All,
    /// All but timestamps.
    WithoutTimestamps,
    /// Selective acknowledgements.
    Sack,
}

/// Cuts options apart, without those that fill up. None: one of them is not whole.
fn cut(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut options = Vec::new();
    while let Some(&kind) = bytes.first().filter(|k| **k != 0) {
        let length = if kind == 1 { 1 } else { usize::from(*bytes.get(1)?) };
        let option = bytes.get(..length).filter(|_| kind == 1 || length >= 2)?;
        if kind != 1 {
            options.push(option);
        }
        bytes = &bytes[length..];
    }
    Some(options)
}

/// The text of options: `.` if there are none, `?` if something is wrong with one.
fn write(bytes: &[u8], one: impl Fn(&[u8]) -> Option<String>) -> String {
    let texts = cut(bytes).and_then(|options| options.into_iter().map(one).collect::<Option<Vec<_>>>());
    match texts {
        Some(texts) => {
            let shown: Vec<_> = texts.into_iter().filter(|t| !t.is_empty()).collect();
            if shown.is_empty() { ".".to_string() } else { shown.join(";") }
        }
        None => "?".to_string(),
    }
}

/// An option as numbers: `99=0:5`.
fn plain(option: &[u8]) -> String {
    let data: Vec<_> = option[2..].iter().map(u8::to_string).collect();
    format!("{}{}{}", option[0], if data.is_empty() { "" } else { "=" }, data.join(":"))
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_be_bytes(*b))
}

fn address(bytes: &[u8], at: usize) -> std::net::Ipv4Addr {
    number(bytes, at).into()
}

/// The text of a TCP header's options.
pub fn write_tcp(bytes: &[u8], shown: Shown) -> String {
    let sack = |o: &[u8]| {
        let blocks = (2..o.len()).step_by(8);
        blocks.map(|at| format!("sack{}-{}", number(o, at), number(o, at + 4))).collect::<Vec<_>>().join(";")
    };
    write(bytes, |o| {
        let (text, is) = match (o[0], o.len()) {
            (2, 4) => (format!("mss{}", u16::from_be_bytes([o[2], o[3]])), Shown::WithoutTimestamps),
            (3, 3) => (format!("wscale{}", o[2]), Shown::WithoutTimestamps),
            (4, 2) => ("sackok".to_string(), Shown::Sack),
            (5, length) if length % 8 == 2 => (sack(o), Shown::Sack),
            (8, 10) => (format!("ts{}:{}", number(o, 2), number(o, 6)), Shown::All),
            (2..=5 | 8, _) => return None,
            _ => (plain(o), Shown::WithoutTimestamps),
        };
        let visible = match shown {
            Shown::All => true,
            Shown::WithoutTimestamps => is != Shown::All,
            Shown::Sack => is == Shown::Sack,
        };
        Some(if visible { text } else { String::new() })
    })
}

/// The text of an IP header's options.
pub fn write_ip(bytes: &[u8]) -> String {
    write(bytes, |o| match o[0] {
        7 => route("rr", o),
        131 => route("lsrr", o),
        137 => route("ssrr", o),
        68 => times(o),
        _ => Some(plain(o)),
    })
}

/// A route: a caret stands where the pointer is; of a recorded one, what is behind it is only counted.
fn route(name: &str, o: &[u8]) -> Option<String> {
    let pointer = usize::from(*o.get(2).filter(|p| **p >= 4)?) - 1;
    let (mut out, mut at, recorded) = (format!("{name}{{"), 3, o[0] == 7);
    while at + 4 <= o.len() && !(recorded && at == pointer) {
        if at == pointer {
            out.push('^');
        } else if at > 3 {
            out.push(',');
        }
        // Writing to a string does not fail.
        let _ = write!(out, "{}", address(o, at));
        at += 4;
    }
    if at == o.len() && at == pointer && !recorded {
        out.push('^');
    }
    out.push('}');
    let left = (o.len() - at) / 4;
    if recorded && at == pointer && left > 0 {
        let _ = write!(out, "+{left}");
    }
    Some(out)
}

/// Whether timestamps of this kind come with addresses.
fn with_addresses(flag: u8) -> bool {
    matches!(flag, 1..=3)
}

/// Timestamps, with the addresses of those who gave them or are to do so.
fn times(o: &[u8]) -> Option<String> {
    let pointer = usize::from(*o.get(2).filter(|p| **p >= 5)?) - 1;
    let (flag, overflow) = (o.get(3)? & 15, o[3] >> 4);
    let kind = match flag {
        0 => String::new(),
        1 => ".ip".to_string(),
        3 => ".preip".to_string(),
        n => format!(".{n}"),
    };
    let size = if with_addresses(flag) { 8 } else { 4 };
    let (mut out, mut at) = (format!("ts{kind}{{"), 4);
    while at + size <= o.len() && (at != pointer || flag == 3) {
        if at == pointer {
            out.push('^');
        } else if at > 4 {
            out.push(',');
        }
        let known = flag != 3 || at < pointer;
        if size == 8 {
            let _ = write!(out, "{}{}", address(o, at), if known { "=" } else { "" });
        }
        if known {
            let time = number(o, at + size - 4);
            let _ = write!(out, "{}{}", if time >> 31 == 1 { "!" } else { "" }, time & 0x7fff_ffff);
        }
        at += size;
    }
    if at == o.len() && at == pointer {
        out.push('^');
    }
    out.push('}');
    let left = (o.len() - at) / size;
    if at == pointer && left > 0 {
        let _ = write!(out, "+{left}");
    }
    if overflow > 0 {
        let _ = write!(out, "++{overflow}");
    }
    Some(out)
}

/// A text that is taken from its front.
struct Text<'a>(&'a str);

impl Text<'_> {
    fn eat(&mut self, what: &str) -> bool {
        let rest = self.0.strip_prefix(what);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn at_digit(&self) -> bool {
        self.0.starts_with(|c: char| c.is_ascii_digit())
    }

    fn number<T: std::str::FromStr>(&mut self) -> Option<T> {
        let end = self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len());
        let (digits, rest) = self.0.split_at(end);
        self.0 = rest;
        digits.parse().ok()
    }

    fn address(&mut self) -> Option<[u8; 4]> {
        let mut address = [0; 4];
        for (i, byte) in address.iter_mut().enumerate() {
            if i > 0 && !self.eat(".") {
                return None;
            }
            *byte = self.number()?;
        }
        Some(address)
    }

    /// An option given by numbers.
    fn plain(&mut self, out: &mut Vec<u8>) -> Option<()> {
        out.push(self.number()?);
        if self.eat("=") {
            let at = out.len();
            out.extend([0, self.number()?]);
            while self.eat(":") {
                out.push(self.number()?);
            }
            out[at] = u8::try_from(out.len() - at + 1).ok()?;
        }
        Some(())
    }
}

/// Takes options one after the other.
fn read(text: &str, mut one: impl FnMut(&mut Text<'_>, &mut Vec<u8>) -> Option<()>) -> Option<Vec<u8>> {
    let (mut text, mut out) = (Text(text), Vec::new());
    if text.0.is_empty() || text.0 == "." {
        return Some(out);
    }
    loop {
        one(&mut text, &mut out)?;
        if out.len() > MOST {
            return None;
        }
        if text.0.is_empty() {
            break;
        }
        if !text.eat(",") && !text.eat(";") {
            return None;
        }
    }
    // What only fills up makes room.
    let fill = out.iter().take_while(|b| **b == 1).count();
    out.drain(..fill.min(out.len().saturating_sub(ROOM)));
    (out.len() <= ROOM).then_some(out)
}

/// Options of TCP from their text. None: it is not one.
pub fn read_tcp(text: &str, shown: Shown) -> Option<Vec<u8>> {
    let (most, all) = (shown != Shown::Sack, shown == Shown::All);
    read(text, |text, out| {
        if most && text.eat("mss") {
            out.extend([2, 4]);
            out.extend(text.number::<u16>()?.to_be_bytes());
        } else if most && text.eat("wscale") {
            out.extend([3, 3, text.number()?]);
        } else if text.eat("sackok") {
            out.extend([4, 2]);
        } else if text.eat("sack") {
            let at = out.len();
            out.extend([5, 0]);
            loop {
                out.extend(text.number::<u32>()?.to_be_bytes());
                if !text.eat("-") && !text.eat(":") {
                    return None;
                }
                out.extend(text.number::<u32>()?.to_be_bytes());
                // Blocks that stand beside each other are one option.
                let mut next = Text(text.0);
                if !((next.eat(",sack") || next.eat(";sack")) && next.at_digit()) {
                    break;
                }
                *text = Text(next.0);
            }
            out[at + 1] = u8::try_from(out.len() - at).ok()?;
        } else if all && text.eat("ts") {
            if out.is_empty() {
                out.extend([1, 1]);
            }
            out.extend([8, 10]);
            out.extend(text.number::<u32>()?.to_be_bytes());
            if !text.eat(":") {
                return None;
            }
            out.extend(text.number::<u32>()?.to_be_bytes());
        } else if most && text.at_digit() {
            text.plain(out)?;
        } else if all && text.eat("nop") {
            out.push(1);
        } else if all && text.eat("eol") {
            out.push(0);
        } else {
            return None;
        }
        Some(())
    })
}

/// Options of IP from their text. None: it is not one.
pub fn read_ip(text: &str) -> Option<Vec<u8>> {
    read(text, |text, out| {
        if text.eat("rr{") {
            read_route(7, text, out)?;
        } else if text.eat("lsrr{") {
            read_route(131, text, out)?;
        } else if text.eat("ssrr{") {
            read_route(137, text, out)?;
        } else if text.eat("ts") {
            read_times(text, out)?;
        } else if text.at_digit() {
            text.plain(out)?;
        } else if text.eat("nop") {
            out.push(1);
        } else if text.eat("eol") {
            out.push(0);
        } else {
            return None;
        }
        Some(())
    })
}

/// Room for more entries, as in `+5`.
fn read_room(text: &mut Text<'_>, out: &mut Vec<u8>, size: usize) -> Option<()> {
    if text.0.starts_with('+') && !text.0.starts_with("++") {
        text.eat("+");
        let more = text.number::<usize>().filter(|n| *n < 64)?;
        out.resize(out.len() + more * size, 0);
    }
    Some(())
}

fn read_route(kind: u8, text: &mut Text<'_>, out: &mut Vec<u8>) -> Option<()> {
    let (at, mut pointer) = (out.len(), None);
    out.extend([kind, 0, 0]);
    loop {
        if pointer.is_none() && text.eat("^") {
            pointer = Some(out.len() - at + 1);
        }
        if !text.at_digit() {
            break;
        }
        out.extend(text.address()?);
        text.eat(",");
    }
    if !text.eat("}") {
        return None;
    }
    out[at + 2] = u8::try_from(pointer.unwrap_or(out.len() - at + 1)).ok()?;
    read_room(text, out, 4)?;
    out[at + 1] = u8::try_from(out.len() - at).ok()?;
    Some(())
}

fn read_times(text: &mut Text<'_>, out: &mut Vec<u8>) -> Option<()> {
    let (at, mut pointer) = (out.len(), None);
    let mut flag = if text.eat("{") {
        // Addresses are told by their looks.
        let mut first = Text(text.0.trim_start_matches('^'));
        u8::from(first.number::<u8>().is_some() && first.eat("."))
    } else if text.eat(".ip{") {
        1
    } else if text.eat(".preip{") {
        3
    } else if text.eat(".") {
        text.number::<u8>().filter(|f| *f < 16 && text.eat("{"))?
    } else {
        return None;
    };
    let told = flag == 1;
    out.extend([68, 0, 0, 0]);
    loop {
        if pointer.is_none() && text.eat("^") {
            pointer = Some(out.len() - at + 1);
        }
        if !text.at_digit() && !text.0.starts_with('!') {
            break;
        }
        if told && pointer.is_some() {
            flag = 3;
        }
        let mut known = true;
        if with_addresses(flag) {
            out.extend(text.address()?);
            known = text.eat("=") && !text.eat("?");
        }
        if known {
            let strange = u32::from(text.eat("!")) << 31;
            out.extend((text.number::<u32>()? | strange).to_be_bytes());
        } else {
            // Those in front of the pointer have given theirs.
            pointer?;
            out.extend([0; 4]);
        }
        text.eat(",");
    }
    if !text.eat("}") {
        return None;
    }
    out[at + 2] = u8::try_from(pointer.unwrap_or(out.len() - at + 1)).ok()?;
    read_room(text, out, if with_addresses(flag) { 8 } else { 4 })?;
    let overflow = if text.eat("++") { text.number::<u8>().filter(|n| *n < 16)? } else { 0 };
    out[at + 3] = overflow << 4 | flag;
    out[at + 1] = u8::try_from(out.len() - at).ok()?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn options_of_ip_come_back_as_they_were_written() {
        for text in [
            "rr{1.2.3.4,5.6.7.8}+2",
            "rr{}+3",
            "lsrr{1.2.3.4^5.6.7.8}",
            "ssrr{^1.2.3.4}",
            "ssrr{9.9.9.9^}",
            "ts{1,!2}+3++4",
            "ts{7^}",
            "ts.ip{1.1.1.1=5}+1",
            "ts.preip{1.1.1.1=5^2.2.2.2}",
            "99=0:5:10;148=0:0",
        ] {
            let bytes = read_ip(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(write_ip(&bytes), text);
        }
        assert_eq!(read_ip("rr{1.2.3.4}+1"), Some(vec![7, 11, 8, 1, 2, 3, 4, 0, 0, 0, 0]));
        assert_eq!(read_ip("nop;eol"), Some(vec![1, 0]));
        assert_eq!((write_ip(&[1, 1, 0, 7]), write_ip(&[7, 9, 4])), (".".into(), "?".into()));
        let same = |a: &str, b: &str| assert_eq!(write_ip(&read_ip(a).unwrap()), b);
        same("ts{1.1.1.1=5,2.2.2.2=!6}++5", "ts.ip{1.1.1.1=5,2.2.2.2=!6^}++5");
        same("ts{1.1.1.1=5,^2.2.2.2,3.3.3.3=?}+1", "ts.preip{1.1.1.1=5^2.2.2.2,3.3.3.3,0.0.0.0}");
        same("ts{1,!45^0,0};rr{}+1", "ts{1,!45}+2;rr{}+1");
        for wrong in ["rr{1.2.3}", "rr{1.2.3.4", "ts.16{}", "99=256", "ssrr{1.1.1.1}+63", "what"] {
            assert_eq!(read_ip(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn options_of_tcp_come_back_as_they_were_written() {
        for text in ["mss1460;wscale3;sackok", "sack1-2;sack3-4", "254=1:2", "mss5;ts1:2"] {
            let bytes = read_tcp(text, Shown::All).unwrap();
            assert_eq!(write_tcp(&bytes, Shown::All), text);
        }
        let bytes = read_tcp("ts1:2,sackok,sack1:2,mss9", Shown::All).unwrap();
        assert_eq!(bytes[..4], [1, 1, 8, 10]);
        assert_eq!(write_tcp(&bytes, Shown::WithoutTimestamps), "sackok;sack1-2;mss9");
        assert_eq!(write_tcp(&bytes, Shown::Sack), "sackok;sack1-2");
        assert_eq!(
            (write_tcp(&[], Shown::All), write_tcp(&[2, 3, 0], Shown::Sack)),
            (".".into(), "?".into())
        );
        assert_eq!(read_tcp("mss9", Shown::Sack), None);
        assert_eq!(read_tcp("sack1-2;sack1-2;sack1-2;sack1-2;sack1-2", Shown::All), None, "no room");
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_text_and_any_text_is_taken_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..41), text in "([rst{}^+=0-9.,;!:-]|ts|rr|sack)*") {
            let (ip, tcp) = (write_ip(&bytes), write_tcp(&bytes, Shown::All));
            prop_assert!(!ip.is_empty() && !tcp.is_empty());
            for options in [read_ip(&text), read_tcp(&text, Shown::All)].into_iter().flatten() {
                prop_assert!(options.len() <= 40);
            }
        }
    }
}
