use super::field::Field;
use super::player::{Meaning, Player, plays};
use super::summary::{Summary, protocol};
use super::to_ip_summary_dump::fields;
use click::args::{Args, words};
use click::element::{read, read_write, write};

click::element! {
    /// Makes IP packets from a file with a line about each, as `ToIPSummaryDump` writes it, and pushes them, or gives them
    /// when pulled.
    ///
    /// The file says with `!data` which fields its lines have, `!flowid SRC SPORT DST DPORT PROTO` and `!proto` give
    /// what lines lack; other lines with `!` and those with `#` are passed over. Data that is not known is not there:
    /// the extra length annotation says how much is missing.
    ///
    /// # Arguments
    /// `FILENAME`: the file, `-` being standard input. `CONTENTS`, `FIELDS`: the fields, until the file says otherwise.
    /// `FLOWID`: a default as in `!flowid`. `PROTO` (TCP): the protocol of packets that name none. `CHECKSUM` (false):
    /// checksums are right. `ZERO` (false): data that is not known is there, as zeros. `MULTIPACKET` (false): a line
    /// with a count makes so many packets. `STOP` (false): the router stops at the end. `END_CALL`: a handler that is
    /// written at the end. `TIMING` (false): packets go out at the pace of their times. `SAMPLE` (1): how likely a
    /// packet is taken. `START`, `END`, `START_AFTER`, `END_AFTER`, `INTERVAL`: the part of the trace, as in
    /// `FromDump`. `ACTIVE` (true): when false, nothing is read.
    ///
    /// # Handlers
    /// `count`: packets so far. `reset_counts`: sets the count to 0. `active`: the argument. `stop`: stops reading and
    /// asks the router to stop. `encap`: `IP`. `filename`: the argument. `sampling_prob`: the argument `SAMPLE`.
    /// `extend_interval`: reads for this much more time. `reset_timing`: the pace begins anew with the next packet.
    FromIPSummaryDump "0/1" "/a"
    keywords [
        "FILENAME", "CONTENTS", "FIELDS", "FLOWID", "PROTO", "CHECKSUM", "ZERO", "MULTIPACKET", "STOP", "END_CALL",
        "TIMING", "SAMPLE", "START", "END", "START_AFTER", "END_AFTER", "INTERVAL", "ACTIVE",
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
        let mut reader = Reader { fields: Vec::new(), default: Summary::default() };
        let given = args.key::<String>("CONTENTS").or(args.key("FIELDS"));
        match fields(given.as_deref().unwrap_or("")) {
            Ok(fields) => reader.fields = fields,
            Err(message) => args.error(format!("CONTENTS: {message}")),
        }
        let kind = args.key::<String>("PROTO").unwrap_or_else(|| "T".to_string());
        match protocol(&kind) {
            Some(protocol) => reader.default.protocol = protocol,
            None => args.error(format!("PROTO: unknown protocol '{kind}'")),
        }
        if let Some(flow) = args.key::<String>("FLOWID")
            && reader.flow(&flow).is_none()
        {
            args.error(format!("FLOWID: bad flow '{flow}'"));
        }
        Self { player: Player::new(args, Box::new(move |line| reader.line(line))) }
    }
}

/// What is known from lines before.
struct Reader {
    fields: Vec<Field>,
    default: Summary,
}

impl Reader {
    fn line(&mut self, line: &str) -> Meaning {
        if line.is_empty() || line.starts_with('#') {
            return Meaning::Nothing;
        }
        if let Some(command) = line.strip_prefix('!') {
            let (verb, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
            let right = match verb {
                "data" | "contents" => match fields(rest) {
                    Ok(fields) => {
                        self.fields = fields;
                        Some(())
                    }
                    Err(message) => return Meaning::Wrong(message),
                },
                "flowid" => self.flow(rest),
                "proto" => protocol(rest.trim()).map(|p| self.default.protocol = p),
                "aggregate" => rest.trim().parse().ok().map(|a| self.default.aggregate = a),
                _ => Some(()),
            };
            return if right.is_some() { Meaning::Nothing } else { Meaning::Wrong(format!("bad !{verb}")) };
        }
        let mut summary = self.default.clone();
        for (field, word) in self.fields.iter().zip(words(line)) {
            if summary.set(*field, word).is_none() {
                return Meaning::Wrong(format!("bad {} '{word}'", field.name()));
            }
        }
        if self.fields.is_empty() {
            return Meaning::Wrong("no !data line says what the fields are".to_string());
        }
        Meaning::Packet(Box::new(summary))
    }

    /// A default flow: source, port, destination, port, protocol.
    fn flow(&mut self, text: &str) -> Option<()> {
        let fields = [Field::IpSrc, Field::Sport, Field::IpDst, Field::Dport, Field::IpProto];
        let mut any = None;
        for (field, word) in fields.iter().zip(text.split_whitespace()) {
            any = Some(self.default.set(*field, word)?);
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_for_packets_with_what_was_said_before() {
        let mut reader =
            Reader { fields: Vec::new(), default: Summary { protocol: 6, ..Summary::default() } };
        assert!(matches!(reader.line("1 2"), Meaning::Wrong(_)));
        assert!(matches!(reader.line("!data ip_len \"payload\""), Meaning::Nothing));
        assert!(matches!(reader.line("!flowid 10.0.0.1 5 10.0.0.2 6 U"), Meaning::Nothing));
        let Meaning::Packet(summary) = reader.line("100 \"a b\\n\"") else { panic!("no packet") };
        assert_eq!((summary.ports, summary.protocol, summary.length), ((5, 6), 17, Some(100)));
        assert_eq!(summary.payload, b"a b\n");
        assert!(matches!(reader.line("many"), Meaning::Wrong(_)));
    }
}
