//! The protocol: lines in, lines and data out.

use click::args::{bytes_of, text_of};
use click::element::Context;
use click::{HandlerError, Host, Router};

use crate::host::ProcessHost;

/// First line of the server.
pub const BANNER: &str = "Click::ControlSocket/1.3\r\n";
/// Longest line.
const LINE: usize = 1 << 16;
/// Most data of one command.
const DATA: usize = 64 << 20;

const OK: u16 = 200;
const SYNTAX: u16 = 500;
const UNIMPLEMENTED: u16 = 501;
const NO_ELEMENT: u16 = 510;
const NO_HANDLER: u16 = 511;
const HANDLER_ERROR: u16 = 520;
const TOO_BIG: u16 = 521;
const PERMISSION: u16 = 530;
const UNSPECIFIED: u16 = 590;

/// Commands, and what each does.
const COMMANDS: &[(&str, &str)] = &[
    ("CHECKREAD handler", "check whether a read handler exists"),
    ("CHECKWRITE handler", "check whether a write handler exists"),
    ("HELP [command]", "print this list, or about one command"),
    ("LLRPC llrpc [len]", "low-level calls are not implemented"),
    ("QUIT", "close the connection"),
    ("READ handler [arg...]", "call a read handler"),
    ("READDATA handler len", "call a read handler with data behind this line"),
    ("READUNTIL handler term", "call a read handler with lines up to a terminator"),
    ("WRITE handler [arg...]", "call a write handler"),
    ("WRITEDATA handler len", "call a write handler with data behind this line"),
    ("WRITEUNTIL handler term", "call a write handler with lines up to a terminator"),
];

/// Handlers of a router, as the router's driver or one of its elements reaches them.
pub trait Handlers {
    /// Value of a handler, whose arguments follow its name.
    fn read(&mut self, handler: &str) -> Result<String, HandlerError>;
    /// Writes a handler.
    fn write(&mut self, handler: &str, value: &str) -> Result<(), HandlerError>;
    /// Whether it can be read, and written.
    fn permissions(&self, handler: &str) -> Result<(bool, bool), HandlerError>;
    /// Name of an element by its number, from 0.
    fn element(&self, number: usize) -> Option<String>;
    /// Says something on the program's standard error.
    fn say(&mut self, text: &str);
    /// Whether another configuration is about to take over: further commands are for that.
    fn is_replaced(&self) -> bool {
        false
    }
}

impl Handlers for (&mut Router, &mut ProcessHost) {
    fn read(&mut self, handler: &str) -> Result<String, HandlerError> {
        self.0.read(self.1, handler)
    }
    fn write(&mut self, handler: &str, value: &str) -> Result<(), HandlerError> {
        self.0.write(self.1, handler, value)
    }
    fn permissions(&self, handler: &str) -> Result<(bool, bool), HandlerError> {
        self.0.permissions(self.1, handler)
    }
    fn element(&self, number: usize) -> Option<String> {
        self.0.elements().nth(number).map(|(name, _)| name.to_string())
    }
    fn say(&mut self, text: &str) {
        crate::output::say(text);
    }
    fn is_replaced(&self) -> bool {
        Host::is_replaced(self.1)
    }
}

impl Handlers for Context<'_> {
    fn read(&mut self, handler: &str) -> Result<String, HandlerError> {
        self.read_handler(handler)
    }
    fn write(&mut self, handler: &str, value: &str) -> Result<(), HandlerError> {
        self.write_handler(handler, value)
    }
    fn permissions(&self, handler: &str) -> Result<(bool, bool), HandlerError> {
        Context::permissions(self, handler)
    }
    fn element(&self, number: usize) -> Option<String> {
        (number < self.elements()).then(|| self.name_of(number).to_string())
    }
    fn say(&mut self, text: &str) {
        self.print(text);
    }
    fn is_replaced(&self) -> bool {
        self.host.is_replaced()
    }
}

/// What clients may do.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Not write.
    pub read_only: bool,
    /// Reach all handlers through this element.
    pub proxy: Option<String>,
    /// Be connected at the same time, this many at most; none: as many as come.
    pub most: Option<usize>,
    /// Come without being announced unless this is set.
    pub verbose: bool,
    /// Come from this host only.
    pub localhost: bool,
}

/// One client's side of the conversation.
#[derive(Debug, Default)]
pub struct Session {
    /// Bytes that were not understood yet.
    pub input: Vec<u8>,
    /// Bytes to send.
    pub output: Vec<u8>,
    /// The client wants no more.
    pub closing: bool,
    /// Commands wait until another configuration has taken over.
    pub waits: bool,
}

/// Data that a command waits for.
enum Data {
    /// There, and where it ends in the input.
    Here(String, usize),
    /// Not all there.
    Missing,
    /// The command is wrong, and this is what was said.
    Refused,
}

impl Session {
    /// A new conversation.
    pub fn new() -> Self {
        Self { output: BANNER.into(), ..Self::default() }
    }

    /// Does what complete commands ask for. `ended`: the client sends no more.
    pub fn work(&mut self, handlers: &mut dyn Handlers, rules: &Rules, ended: bool) {
        self.waits = false;
        while !self.closing {
            if handlers.is_replaced() {
                self.waits = true;
                return;
            }
            let Some((line, end)) = line(&self.input, 0, ended) else {
                if self.input.len() > LINE {
                    self.say(SYNTAX, "Line too long");
                    self.closing = true;
                }
                break;
            };
            match self.command(&line, end, handlers, rules, ended) {
                Some(end) => drop(self.input.drain(..end)),
                None => break,
            }
        }
        self.closing |= ended;
    }

    fn say(&mut self, code: u16, text: &str) {
        let lines: Vec<&str> = text.trim_end().lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let mark = if i + 1 < lines.len() { '-' } else { ' ' };
            self.output.extend(format!("{code}{mark}{line}\r\n").bytes());
        }
        if lines.is_empty() {
            self.output.extend(format!("{code} \r\n").bytes());
        }
    }

    /// Does one command; where the input goes on behind it, `None` if something of it is missing.
    fn command(
        &mut self,
        line: &str,
        end: usize,
        handlers: &mut dyn Handlers,
        rules: &Rules,
        ended: bool,
    ) -> Option<usize> {
        let (verb, rest) = cut(line);
        let (handler, argument) = cut(rest);
        let verb = match verb.to_ascii_uppercase().as_str() {
            "GET" => "READ".to_string(),
            "SET" => "WRITE".to_string(),
            "SETDATA" => "WRITEDATA".to_string(),
            verb => verb.to_string(),
        };
        let words = line.split_whitespace().count();
        match verb.as_str() {
            "" => {}
            "READDATA" | "WRITEDATA" if words != 3 => self.say(SYNTAX, "Wrong number of arguments"),
            "CHECKREAD" | "CHECKWRITE" if words != 2 => self.say(SYNTAX, "Wrong number of arguments"),
            "QUIT" | "CLOSE" if words != 1 => {
                self.say(SYNTAX, "Bad command syntax");
                self.say(OK, "Goodbye!");
                self.closing = true;
            }
            "QUIT" | "CLOSE" => {
                self.say(OK, "Goodbye!");
                self.closing = true;
            }
            "HELP" => self.help(rest),
            "LLRPC" => self.say(UNIMPLEMENTED, "Command 'LLRPC' unimplemented"),
            "READ" | "READDATA" | "READUNTIL" | "WRITE" | "WRITEDATA" | "WRITEUNTIL" | "CHECKREAD"
            | "CHECKWRITE"
                if handler.is_empty() =>
            {
                self.say(SYNTAX, "Wrong number of arguments");
            }
            "READ" => self.read(handler, argument, handlers, rules),
            "WRITE" => self.write(handler, argument, handlers, rules),
            "CHECKREAD" | "CHECKWRITE" => {
                let writes = verb == "CHECKWRITE";
                if let Some(name) = self.allowed(handler, writes, handlers, rules) {
                    let kind = if writes { "Write" } else { "Read" };
                    self.say(OK, &format!("{kind} handler '{name}' OK"));
                }
            }
            "READDATA" | "WRITEDATA" | "READUNTIL" | "WRITEUNTIL" => {
                let data = match verb.as_str() {
                    "READDATA" | "WRITEDATA" => self.counted(&verb, argument, end),
                    _ => until(&self.input, argument, end, ended),
                };
                let (data, end) = match data {
                    Data::Here(data, end) => (data, end),
                    Data::Missing if self.input.len() - end > DATA => {
                        self.say(TOO_BIG, "Data too big");
                        self.closing = true;
                        return Some(self.input.len());
                    }
                    Data::Missing => return None,
                    Data::Refused => return Some(end),
                };
                if verb.starts_with("READ") {
                    self.read(handler, &data, handlers, rules);
                } else {
                    self.write(handler, &data, handlers, rules);
                }
                return Some(end);
            }
            _ => self.say(UNIMPLEMENTED, &format!("Command '{verb}' unimplemented")),
        }
        Some(end)
    }

    fn help(&mut self, about: &str) {
        let about = about.to_ascii_uppercase();
        let fits = |c: &&(&str, &str)| about.is_empty() || c.0.split(' ').next() == Some(&about);
        let lines: String = COMMANDS.iter().filter(fits).map(|c| format!("{:<24}{}\n", c.0, c.1)).collect();
        match (lines.is_empty(), about.is_empty()) {
            (true, _) => self.say(SYNTAX, &format!("Command '{about}' unknown")),
            (_, true) => self.say(OK, &format!("Commands:\n{lines}")),
            _ => self.say(OK, &lines),
        }
    }

    /// As many bytes behind the line as the argument says.
    fn counted(&mut self, verb: &str, argument: &str, end: usize) -> Data {
        let Ok(length) = argument.trim().parse::<usize>() else {
            self.say(SYNTAX, &format!("Syntax error in '{verb}'"));
            return Data::Refused;
        };
        if length > DATA {
            self.say(TOO_BIG, "Data too big");
            self.closing = true;
            return Data::Refused;
        }
        match self.input.get(end..end + length) {
            Some(bytes) => Data::Here(text_of(bytes), end + length),
            None => Data::Missing,
        }
    }

    /// The full name of a handler that may be read or written; otherwise says why not.
    fn allowed(&mut self, name: &str, write: bool, handlers: &dyn Handlers, rules: &Rules) -> Option<String> {
        let name = full_name(name, handlers, rules);
        let (code, message) = match handlers.permissions(&name) {
            Ok((_, true)) if write && rules.read_only => {
                (PERMISSION, format!("Permission denied for '{name}'"))
            }
            Ok((true, _)) if !write => return Some(name),
            Ok((_, true)) if write => return Some(name),
            Ok(_) if write => (PERMISSION, format!("Handler '{name}' read-only")),
            Ok(_) => (PERMISSION, format!("Handler '{name}' write-only")),
            Err(_) => match name.split_once('.') {
                Some((element, _)) if handlers.permissions(&format!("{element}.name")).is_err() => {
                    (NO_ELEMENT, format!("No element named '{element}'"))
                }
                _ => (NO_HANDLER, format!("No handler named '{name}'")),
            },
        };
        self.say(code, &message);
        None
    }

    fn read(&mut self, name: &str, argument: &str, handlers: &mut dyn Handlers, rules: &Rules) {
        let Some(name) = self.allowed(name, false, handlers, rules) else { return };
        match handlers.read(&format!("{name} {argument}")) {
            Ok(value) => {
                self.say(OK, &format!("Read handler '{name}' OK"));
                let value = bytes_of(&value);
                self.output.extend(format!("DATA {}\r\n", value.len()).bytes());
                self.output.extend(value);
            }
            Err(e) => self.failed("Read", &name, &e),
        }
    }

    fn write(&mut self, name: &str, value: &str, handlers: &mut dyn Handlers, rules: &Rules) {
        let Some(name) = self.allowed(name, true, handlers, rules) else { return };
        match handlers.write(&name, value) {
            Ok(()) => self.say(OK, &format!("Write handler '{name}' OK")),
            Err(e) => self.failed("Write", &name, &e),
        }
    }

    fn failed(&mut self, kind: &str, name: &str, error: &HandlerError) {
        let code = match error {
            HandlerError::NotFound(_) => NO_HANDLER,
            HandlerError::Forbidden(_) => PERMISSION,
            HandlerError::Refused(_) if kind == "Read" => UNSPECIFIED,
            HandlerError::Refused(_) => HANDLER_ERROR,
        };
        self.say(code, &format!("{kind} handler '{name}' error:\n{error}"));
    }
}

/// A handler's name as the router knows it: elements may be given by number, and a proxy may stand in front.
fn full_name(name: &str, handlers: &dyn Handlers, rules: &Rules) -> String {
    let name = name.strip_prefix('.').unwrap_or(name);
    let numbered = name.split_once('.').and_then(|(element, handler)| {
        let number = element.parse::<usize>().ok()?.checked_sub(1)?;
        Some(format!("{}.{handler}", handlers.element(number)?))
    });
    let name = numbered.unwrap_or_else(|| name.to_string());
    match &rules.proxy {
        Some(proxy) => format!("{proxy}.{name}"),
        None => name,
    }
}

fn cut(text: &str) -> (&str, &str) {
    let text = text.trim();
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim_start()))
}

/// A line from a place on, and where the next one begins; lines end with CR, LF or both. `ended`: nothing follows.
fn line(input: &[u8], from: usize, ended: bool) -> Option<(String, usize)> {
    let rest = input.get(from..)?;
    let text = |length: usize| text_of(&rest[..length]);
    let Some(length) = rest.iter().position(|&b| b == b'\r' || b == b'\n') else {
        return (ended && !rest.is_empty()).then(|| (text(rest.len()), input.len()));
    };
    let end = match (rest[length], rest.get(length + 1)) {
        (b'\r', Some(b'\n')) => length + 2,
        // The other half may be on its way.
        (b'\r', None) if !ended => return None,
        _ => length + 1,
    };
    Some((text(length), from + end))
}

/// Lines from a place on up to one that is the terminator.
fn until(input: &[u8], terminator: &str, from: usize, ended: bool) -> Data {
    let mut at = from;
    while let Some((text, next)) = line(input, at, ended) {
        if text.trim_end() == terminator.trim_end() {
            return Data::Here(text_of(&input[from..at]), next);
        }
        at = next;
    }
    Data::Missing
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One element `c` with a handler of each kind.
    #[derive(Default)]
    struct Memory(Vec<String>);

    impl Handlers for Memory {
        fn read(&mut self, handler: &str) -> Result<String, HandlerError> {
            Ok(format!("<{}>", handler.trim()))
        }
        fn write(&mut self, handler: &str, value: &str) -> Result<(), HandlerError> {
            self.0.push(format!("{handler}={value}"));
            if value == "bad" { Err(HandlerError::Refused("one\ntwo".to_string())) } else { Ok(()) }
        }
        fn permissions(&self, handler: &str) -> Result<(bool, bool), HandlerError> {
            match handler {
                "c.r" | "c.name" | "list" => Ok((true, false)),
                "c.w" => Ok((false, true)),
                _ => Err(HandlerError::NotFound(String::new())),
            }
        }
        fn element(&self, number: usize) -> Option<String> {
            (number == 0).then(|| "c".to_string())
        }
        fn say(&mut self, _: &str) {}
    }

    fn talk(input: &str, rules: &Rules) -> (String, Vec<String>) {
        let (mut session, mut memory) = (Session::new(), Memory::default());
        // Byte by byte: nothing depends on how the bytes arrive.
        for byte in input.bytes() {
            session.input.push(byte);
            session.work(&mut memory, rules, false);
        }
        session.work(&mut memory, rules, true);
        let output = String::from_utf8(session.output).unwrap();
        (output.strip_prefix(BANNER).unwrap().replace("\r\n", "|"), memory.0)
    }

    #[test]
    fn commands_are_answered_with_their_codes() {
        let rules = Rules::default();
        let answer = |input: &str| talk(input, &rules).0;
        assert_eq!(answer("READ c.r\r\n"), "200 Read handler 'c.r' OK|DATA 5|<c.r>");
        assert_eq!(answer("read 1.r a b\n"), "200 Read handler 'c.r' OK|DATA 9|<c.r a b>");
        assert_eq!(answer("READ d.r\r"), "510 No element named 'd'|");
        assert_eq!(answer("READ c.x\nREAD x\n"), "511 No handler named 'c.x'|511 No handler named 'x'|");
        assert_eq!(
            answer("READ c.w\nWRITE c.r\n"),
            "530 Handler 'c.w' write-only|530 Handler 'c.r' read-only|"
        );
        assert_eq!(answer("WRITE c.w bad\n"), "520-Write handler 'c.w' error:|520-one|520 two|");
        assert_eq!(
            answer("CHECKREAD c.r\nCHECKWRITE c.w\n"),
            "200 Read handler 'c.r' OK|200 Write handler 'c.w' OK|"
        );
        assert_eq!(answer("LLRPC c#1\nNOTHING\n").matches("501 ").count(), 2);
        assert_eq!(answer("READ\n"), "500 Wrong number of arguments|");
        assert_eq!(answer("QUIT\nREAD c.r\n"), "200 Goodbye!|");
    }

    #[test]
    fn data_follows_by_count_or_up_to_a_terminator() {
        let rules = Rules::default();
        let (_, written) =
            talk("WRITEDATA c.w 5\r\na\nb\ncWRITEUNTIL c.w END\nx\r\ny\nEND \nWRITE c.w z", &rules);
        assert_eq!(written, ["c.w=a\nb\nc", "c.w=x\r\ny\n", "c.w=z"]);
        assert!(talk("WRITEDATA c.w 99999999999\n", &rules).0.starts_with("521 "));
    }

    #[test]
    fn a_server_can_forbid_writing() {
        let rules = Rules { read_only: true, ..Rules::default() };
        assert_eq!(
            talk("WRITE c.w 1\n", &rules),
            ("530 Permission denied for 'c.w'|".to_string(), Vec::new())
        );
    }
}
