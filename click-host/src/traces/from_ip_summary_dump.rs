use super::field::Field;
use super::parse::protocol;
use super::player::{Meaning, Parser, Player, plays};
use super::summary::Summary;
use click::args::{Args, words};
use click::element::{read, read_write, write};

click::element! {
    /// Makes IP packets from a file with a line about each, as `ToIPSummaryDump` writes it, and pushes them, or gives them
    /// when pulled.
    ///
    /// The file says with `!data` which fields its lines have, `!flowid SRC SPORT DST DPORT PROTO` and `!proto` give
    /// what lines lack; other lines with `!` and those with `#` are passed over. Behind a line `!binary` come records of
    /// bytes in the place of lines. Data that is not known is not there: the extra length annotation says how much is
    /// missing. What the lengths leave over is options of the headers. Packets without IP fields have no IP header.
    ///
    /// # Arguments
    /// `FILENAME`: the file, `-` being standard input. `DATA`: the text of the file, in the place of one. `FIELDS`,
    /// `CONTENTS`, `DEFAULT_FIELDS`, `DEFAULT_CONTENTS`: the fields, until the file says otherwise. `FLOWID`,
    /// `DEFAULT_FLOWID`: a default as in `!flowid`. `PROTO` (TCP): the protocol of packets that name none. `CHECKSUM`
    /// (false): checksums are right, and all data is there, as zeros. `ZERO` means nothing: what is not known is zero.
    /// `MULTIPACKET` (false): a line with a count makes so many packets, which share its length and time. `BURST` (1):
    /// packets at once. `ALLOW_NONEXISTENT` (false): a file that is not there is an empty one. `STOP` (false): the
    /// router stops at the end. `END_CALL`: a handler that is written at the end. `TIMING` (false): packets go out at the
    /// pace of their times. `SAMPLE` (1): how likely a packet is taken. `START`, `END`, `START_AFTER`, `END_AFTER`,
    /// `INTERVAL`: the part of the trace, as in `FromDump`. `ACTIVE` (true): when false, nothing is read.
    ///
    /// # Handlers
    /// `count`: packets so far. `reset_counts`: sets the count to 0. `active`: the argument. `stop`: stops reading and
    /// asks the router to stop. `encap`: `IP`. `filename`: the argument. `sampling_prob`: the argument `SAMPLE`.
    /// `extend_interval`: reads for this much more time. `reset_timing`: the pace begins anew with the next packet.
    FromIPSummaryDump "0/1" "/a"
    keywords [
        "FILENAME", "DATA", "CONTENTS", "FIELDS", "FLOWID", "DEFAULT_CONTENTS", "DEFAULT_FIELDS", "DEFAULT_FLOWID",
        "PROTO", "CHECKSUM", "ZERO", "MULTIPACKET", "BURST", "ALLOW_NONEXISTENT", "STOP", "END_CALL", "TIMING", "SAMPLE",
        "START", "END", "START_AFTER", "END_AFTER", "INTERVAL", "ACTIVE",
    ]
    handlers [
        read("count"), read("encap"), read("filename"), read("sampling_prob"), read_write("active"), write("stop"),
        write("reset_counts"), write("extend_interval"), write("reset_timing"),
    ]
    { player: Player }
}

plays!(FromIPSummaryDump);

impl FromIPSummaryDump {
    fn new(args: &mut Args<'_>) -> Self {
        let mut reader = Reader::default();
        let names = ["FIELDS", "CONTENTS", "DEFAULT_FIELDS", "DEFAULT_CONTENTS"];
        let given = names.map(|name| args.key::<String>(name)).into_iter().flatten().next();
        if let Meaning::Warning(message) = reader.data(given.as_deref().unwrap_or("")) {
            args.error(format!("FIELDS: {message}"));
        }
        let kind = args.key::<String>("PROTO").unwrap_or_else(|| "T".to_string());
        match protocol(&kind) {
            Some(protocol) => reader.default.protocol = protocol,
            None => args.error(format!("PROTO: unknown protocol '{kind}'")),
        }
        let flow = args.key::<String>("FLOWID").or_else(|| args.key("DEFAULT_FLOWID"));
        if let Some(flow) = flow
            && reader.flow(&flow).is_none()
        {
            args.error(format!("FLOWID: bad flow '{flow}'"));
        }
        Self { player: Player::new(args, Box::new(reader)) }
    }
}

/// What is known from lines before.
#[derive(Default)]
struct Reader {
    /// The fields of lines; none: one that means nothing.
    fields: Vec<Option<Field>>,
    default: Summary,
    /// The file is of the first version, whose fragment offsets count eight bytes each.
    old: bool,
    binary: bool,
}

impl Reader {
    /// Takes the names of fields; those that are not known are passed over.
    fn data(&mut self, text: &str) -> Meaning {
        let names = words(text);
        self.fields = names.iter().map(|name| Field::named(name)).collect();
        let unknown = names.iter().find(|name| **name != "none" && Field::named(name).is_none());
        match unknown {
            Some(name) => Meaning::Warning(format!("warning: unknown content type '{name}'")),
            None => Meaning::Nothing,
        }
    }

    /// A line with an exclamation mark.
    fn command(&mut self, command: &str) -> Meaning {
        let (verb, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let right = match verb {
            "data" | "contents" => return self.data(rest),
            "flowid" => self.flow(rest),
            "proto" => protocol(rest.trim()).map(|p| self.default.protocol = p),
            "aggregate" => rest.trim().parse().ok().map(|a| self.default.aggregate = a),
            "binary" => {
                self.binary = true;
                Some(())
            }
            "IPSummaryDump" => {
                self.old = rest.trim() == "1.0";
                Some(())
            }
            _ => Some(()),
        };
        if right.is_some() { Meaning::Nothing } else { Meaning::Warning(format!("bad !{verb}")) }
    }

    /// A packet, unless nothing of it could be read.
    fn packet(&self, summary: Summary, taken: usize) -> Meaning {
        if taken > 0 {
            Meaning::Packet(Box::new(summary))
        } else if self.fields.is_empty() {
            Meaning::Wrong("no '!data' provided".to_string())
        } else {
            Meaning::Wrong("packet parse error".to_string())
        }
    }

    /// A default flow: source, port, destination, port, protocol.
    fn flow(&mut self, text: &str) -> Option<()> {
        let fields = [Field::IpSrc, Field::Sport, Field::IpDst, Field::Dport, Field::IpProto];
        let mut any = None;
        for (field, word) in fields.iter().zip(text.split_whitespace()) {
            any = Some(self.default.set(*field, word, false)?);
        }
        any
    }
}

impl Parser for Reader {
    fn line(&mut self, line: &str) -> Meaning {
        if line.is_empty() || line.starts_with('#') {
            return Meaning::Nothing;
        }
        if let Some(command) = line.strip_prefix('!') {
            return self.command(command);
        }
        let (mut summary, mut taken) = (self.default.clone(), 0);
        for (field, word) in self.fields.iter().zip(words(line)) {
            let right = field.is_some_and(|f| word != "-" && summary.set(f, word, self.old).is_some());
            taken += usize::from(right);
        }
        self.packet(summary, taken)
    }

    fn is_binary(&self) -> bool {
        self.binary
    }

    fn record(&mut self, mut bytes: &[u8]) -> Meaning {
        let (mut summary, mut taken) = (self.default.clone(), 0);
        for field in &self.fields {
            let Some((field, value)) = field.and_then(|f| Some((f, f.read_bytes(&mut bytes)?))) else {
                break;
            };
            summary.put(field, value);
            taken += 1;
        }
        self.packet(summary, taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_for_packets_with_what_was_said_before() {
        let mut reader =
            Reader { default: Summary { protocol: 6, ..Summary::default() }, ..Reader::default() };
        assert!(matches!(reader.line("1 2"), Meaning::Wrong(_)));
        assert!(matches!(reader.line("!data ip_len \"payload\""), Meaning::Nothing));
        assert!(matches!(reader.line("!flowid 10.0.0.1 5 10.0.0.2 6 U"), Meaning::Nothing));
        let Meaning::Packet(summary) = reader.line("100 \"a b\\n\"") else { panic!("no packet") };
        assert_eq!((summary.ports, summary.protocol, summary.length), ((5, 6), 17, Some(100)));
        assert_eq!(summary.payload, b"a b\n");
        assert!(matches!(reader.line("many"), Meaning::Wrong(_)));
        assert!(matches!(reader.line("!data colour ip_len ip_ttl"), Meaning::Warning(_)));
        let Meaning::Packet(summary) = reader.line("red 50 hot") else { panic!("no packet") };
        assert_eq!((summary.length, summary.ttl), (Some(50), None));
    }
}
