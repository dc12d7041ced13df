//! Plays packets that lines of text describe: what elements that read such traces share.

use super::capture::open_bytes;
use super::playback::{Playback, Verdict};
use super::summary::{Style, Summary};
use click::args::{Args, Time};
use click::element::Context;
use click::handlers::parse;
use click::packet::Batch;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::process::Child;

/// Most bytes of a line and of a record.
const LONGEST: u64 = 1 << 20;
/// Most messages about a file.
const MESSAGES: u32 = 10;

/// What a line means.
pub enum Meaning {
    /// Nothing, or something about lines that follow.
    Nothing,
    /// A packet.
    Packet(Box<Summary>),
    /// A packet that cannot be read.
    Wrong(String),
    /// Something about lines that follow is not as it should be.
    Warning(String),
}

/// Reads lines.
pub trait Parser {
    /// What a line means.
    fn line(&mut self, line: &str) -> Meaning;

    /// Whether records of bytes follow, each behind four bytes of its length.
    fn is_binary(&self) -> bool {
        false
    }

    /// What a record means.
    fn record(&mut self, _: &[u8]) -> Meaning {
        Meaning::Nothing
    }
}

/// A trace that is played.
pub struct Player {
    /// The file.
    pub name: String,
    /// When packets go out, and which.
    pub playback: Playback,
    /// The text of the trace, in place of a file.
    data: Option<String>,
    may_lack: bool,
    burst: usize,
    parser: Box<dyn Parser + Send>,
    style: Style,
    multipacket: bool,
    lines: Option<BufReader<Box<dyn Read + Send>>>,
    helper: Option<Child>,
    number: u64,
    complained: bool,
    messages: u32,
    next: Option<Summary>,
    /// Packets so far.
    pub count: u64,
    pushes: bool,
}

impl Drop for Player {
    fn drop(&mut self) {
        if let Some(helper) = &mut self.helper {
            // It may have ended by itself.
            let _ = helper.kill();
            let _ = helper.wait();
        }
    }
}

impl Player {
    /// Takes the arguments that all such elements have, and what reads a line.
    pub fn new(args: &mut Args<'_>, parser: Box<dyn Parser + Send>) -> Self {
        let data = args.key::<String>("DATA");
        let name = match &data {
            Some(_) => args.next("FILENAME").unwrap_or_default(),
            None => args.required::<String>("FILENAME"),
        };
        if data.is_some() && !name.is_empty() {
            args.error("FILENAME and DATA conflict");
        }
        // Data that is not known is zero anyway.
        args.key::<bool>("ZERO");
        let style = Style { checksum: args.key("CHECKSUM").unwrap_or(false) };
        Self {
            name,
            playback: Playback::new(args),
            data,
            may_lack: args.key("ALLOW_NONEXISTENT").unwrap_or(false),
            burst: args.key::<usize>("BURST").unwrap_or(1).max(1),
            parser,
            style,
            multipacket: args.key("MULTIPACKET").unwrap_or(false),
            lines: None,
            helper: None,
            number: 0,
            complained: false,
            messages: 0,
            next: None,
            count: 0,
            pushes: false,
        }
    }

    /// Opens the file.
    pub fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        let (bytes, helper): (Box<dyn Read + Send>, _) = match self.data.take() {
            Some(data) => (Box::new(Cursor::new(data)), None),
            None if self.may_lack && !std::path::Path::new(&self.name).exists() => {
                (Box::new(std::io::empty()), None)
            }
            None => open_bytes(&self.name)?,
        };
        (self.lines, self.helper) = (Some(BufReader::new(bytes)), helper);
        self.pushes = cx.pushes(0);
        if self.pushes {
            cx.schedule();
        }
        Ok(())
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Option<Summary> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let meaning = if self.parser.is_binary() {
                self.record(&mut bytes)?
            } else {
                // What cannot be read is the end.
                let lines = self.lines.as_mut()?;
                let n = lines.take(LONGEST).read_until(b'\n', &mut bytes).unwrap_or(0);
                if n == 0 {
                    return None;
                }
                self.parser.line(String::from_utf8_lossy(&bytes).trim())
            };
            self.number += 1;
            let message = match meaning {
                Meaning::Packet(summary) => return Some(*summary),
                // One message is enough; a file may be wrong throughout.
                Meaning::Wrong(message) if !std::mem::replace(&mut self.complained, true) => message,
                Meaning::Warning(message) if self.messages < MESSAGES => message,
                _ => continue,
            };
            self.messages += 1;
            let name = if self.name.is_empty() { "<data>" } else { &self.name };
            cx.print(&format!("{name}:{}: {message}", self.number));
        }
    }

    /// The next record; none at the end.
    fn record(&mut self, bytes: &mut Vec<u8>) -> Option<Meaning> {
        let lines = self.lines.as_mut()?;
        let mut length = [0; 4];
        lines.read_exact(&mut length).ok()?;
        let text = length[0] & 0x80 != 0;
        length[0] &= 0x7f;
        let length = u64::from(u32::from_be_bytes(length));
        let Some(length) = length.checked_sub(4).filter(|l| *l <= LONGEST) else {
            // What follows makes no sense.
            self.lines = None;
            return Some(Meaning::Wrong("a binary record has a wrong length".to_string()));
        };
        if lines.take(length).read_to_end(bytes).ok()? as u64 != length {
            return None;
        }
        if text {
            let text = String::from_utf8_lossy(bytes);
            return Some(self.parser.line(text.trim_matches(|c: char| c == '\0' || c.is_whitespace())));
        }
        Some(self.parser.record(bytes))
    }

    /// Packets that are due, at most `most`.
    pub fn take(&mut self, cx: &mut Context<'_>, most: usize) -> Batch {
        let mut batch = Batch::new();
        while batch.len() < most && self.playback.active && !self.playback.ended {
            let Some(mut summary) = self.next.take().or_else(|| self.read(cx)) else {
                // What goes out now is dealt with before the end.
                if batch.is_empty() {
                    self.playback.end(cx);
                }
                break;
            };
            match self.playback.judge(cx, summary.time) {
                Verdict::Now => {
                    self.count += 1;
                    let one = if self.multipacket { summary.split() } else { None };
                    let packet = one.as_ref().unwrap_or(&summary).packet(self.style);
                    packet.into_iter().for_each(|packet| batch.push(packet));
                    if one.is_some() {
                        self.next = Some(summary);
                    }
                }
                Verdict::Later(time) => {
                    self.next = Some(summary);
                    cx.wake_at(time);
                    break;
                }
                Verdict::Skip => {}
                Verdict::Over => {
                    self.next = Some(summary);
                    if !batch.is_empty() {
                        break;
                    }
                    self.playback.end(cx);
                }
            }
        }
        batch
    }

    /// Pushes what is due, or wakes who pulls.
    pub fn work(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.pushes {
            cx.notify();
            return false;
        }
        let batch = self.take(cx, self.burst);
        let more = !batch.is_empty();
        cx.output(0, batch);
        more
    }

    /// Goes on where another was that read the same file.
    pub fn take_over(&mut self, old: &mut Player) {
        if self.name == old.name {
            std::mem::swap(&mut self.playback, &mut old.playback);
            std::mem::swap(&mut self.parser, &mut old.parser);
            (self.lines, self.helper) = (old.lines.take(), old.helper.take());
            (self.next, self.count, self.number) = (old.next.take(), old.count, old.number);
        }
    }

    /// Value of a handler.
    pub fn value(&self, handler: &str) -> String {
        match handler {
            "count" => self.count.to_string(),
            "encap" => "IP".to_string(),
            "filename" => self.name.clone(),
            "sampling_prob" => self.playback.sample(),
            _ => self.playback.active.to_string(),
        }
    }

    /// Writes a handler.
    pub fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "active" => self.playback.active = parse(cx, value)?,
            "stop" => {
                self.playback.active = false;
                cx.stop();
            }
            "extend_interval" => self.playback.extend(parse::<Time>(cx, value)?.0),
            "reset_timing" => self.playback.reset_timing(),
            _ => self.count = 0,
        }
        cx.schedule();
        Ok(())
    }
}

/// Gives an element that holds a `Player` the behaviour of one.
macro_rules! plays {
    ($element:ident) => {
        impl click::element::Element for $element {
            fn initialize(&mut self, cx: &mut click::element::Context<'_>) -> Result<(), String> {
                self.player.initialize(cx)
            }

            fn run_task(&mut self, cx: &mut click::element::Context<'_>) -> bool {
                self.player.work(cx)
            }

            fn owns_pull(&self) -> bool {
                true
            }

            fn notifies(&self) -> bool {
                true
            }

            fn pull(&mut self, cx: &mut click::element::Context<'_>, _: usize, most: usize) -> click::Batch {
                self.player.take(cx, most)
            }

            fn take_over(&mut self, old: &mut dyn click::element::Element) {
                if let Some(old) = (old as &mut dyn std::any::Any).downcast_mut::<$element>() {
                    self.player.take_over(&mut old.player);
                }
            }

            fn read(
                &mut self,
                _: &mut click::element::Context<'_>,
                handler: &str,
                _: &str,
            ) -> Result<String, String> {
                Ok(self.player.value(handler))
            }

            fn write(
                &mut self,
                cx: &mut click::element::Context<'_>,
                handler: &str,
                value: &str,
            ) -> Result<(), String> {
                self.player.write(cx, handler, value)
            }
        }
    };
}
pub(super) use plays;
