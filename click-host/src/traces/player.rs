//! Plays packets that lines of text describe: what elements that read such traces share.

use super::capture::open_bytes;
use super::playback::{Playback, Verdict};
use super::summary::{Style, Summary};
use click::args::{Args, Time};
use click::element::Context;
use click::handlers::parse;
use click::packet::{BURST, Batch};
use std::io::{BufRead, BufReader, Read};
use std::process::Child;

/// What a line means.
pub enum Meaning {
    /// Nothing, or something about lines that follow.
    Nothing,
    /// A packet.
    Packet(Box<Summary>),
    /// It is wrong.
    Wrong(String),
}

/// Reads lines.
type Parser = Box<dyn FnMut(&str) -> Meaning>;

/// A trace that is played.
pub struct Player {
    /// The file.
    pub name: String,
    /// When packets go out, and which.
    pub playback: Playback,
    parse: Parser,
    style: Style,
    multipacket: bool,
    lines: Option<BufReader<Box<dyn Read>>>,
    helper: Option<Child>,
    number: u64,
    warned: bool,
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
    pub fn new(args: &mut Args<'_>, parse: Parser) -> Self {
        let name = args.required::<String>("FILENAME");
        let style = Style {
            checksum: args.key("CHECKSUM").unwrap_or(false),
            zero: args.key("ZERO").unwrap_or(false),
        };
        Self {
            name,
            playback: Playback::new(args),
            parse,
            style,
            multipacket: args.key("MULTIPACKET").unwrap_or(false),
            lines: None,
            helper: None,
            number: 0,
            warned: false,
            next: None,
            count: 0,
            pushes: false,
        }
    }

    /// Opens the file.
    pub fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        let (bytes, helper) = open_bytes(&self.name)?;
        (self.lines, self.helper) = (Some(BufReader::new(bytes)), helper);
        self.pushes = cx.pushes(0);
        if self.pushes {
            cx.schedule();
        }
        Ok(())
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Option<Summary> {
        let mut line = Vec::new();
        loop {
            line.clear();
            // What cannot be read is the end.
            let n = self.lines.as_mut()?.read_until(b'\n', &mut line).unwrap_or(0);
            if n == 0 {
                return None;
            }
            self.number += 1;
            match (self.parse)(String::from_utf8_lossy(&line).trim()) {
                Meaning::Nothing => {}
                Meaning::Packet(summary) => return Some(*summary),
                // One message is enough; a file may be wrong throughout.
                Meaning::Wrong(message) if !std::mem::replace(&mut self.warned, true) => {
                    cx.print(&format!("{}:{}: {message}", self.name, self.number));
                }
                Meaning::Wrong(_) => {}
            }
        }
    }

    /// Packets that are due, at most `most`.
    pub fn take(&mut self, cx: &mut Context<'_>, most: usize) -> Batch {
        let mut batch = Batch::new();
        while batch.len() < most && self.playback.active && !self.playback.ended {
            let Some(mut summary) = self.next.take().or_else(|| self.read(cx)) else {
                self.playback.end(cx);
                break;
            };
            match self.playback.judge(cx, summary.time) {
                Verdict::Now => {
                    let several = self.multipacket && summary.count > 1;
                    let rest = summary.count;
                    if several {
                        summary.count = 1;
                    }
                    self.count += 1;
                    summary.packet(self.style).into_iter().for_each(|packet| batch.push(packet));
                    if several {
                        summary.count = rest - 1;
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
        let batch = self.take(cx, BURST);
        let more = !batch.is_empty();
        cx.output(0, batch);
        more
    }

    /// Goes on where another was that read the same file.
    pub fn take_over(&mut self, old: &mut Player) {
        if self.name == old.name {
            std::mem::swap(&mut self.playback, &mut old.playback);
            std::mem::swap(&mut self.parse, &mut old.parse);
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

            fn work(&mut self, cx: &mut click::element::Context<'_>) -> bool {
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
