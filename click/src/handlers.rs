//! Handlers: those of the router, those that every element has, and the elements' own.

use crate::args::Args;
use crate::element::{Handler, Host};
use crate::elements::{Library, reconfigures};
use crate::engine::{Engine, Slot};
use crate::lang::Port;
use alloc::format;
use alloc::string::{String, ToString};

/// Why a handler could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandlerError {
    /// No such element or handler.
    NotFound(String),
    /// The handler cannot be read, or cannot be written.
    Forbidden(String),
    /// The value will not do.
    Refused(String),
}

impl core::fmt::Display for HandlerError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (HandlerError::NotFound(text) | HandlerError::Forbidden(text) | HandlerError::Refused(text)) =
            self;
        f.write_str(text)
    }
}

impl core::error::Error for HandlerError {}

const GLOBAL: &[(&str, &str)] = &[
    ("classes", "r"),
    ("config", "r"),
    ("flatconfig", "r"),
    ("handlers", "r"),
    ("list", "r"),
    ("packages", "r"),
    ("profile", "r"),
    ("profiling", "rw"),
    ("requirements", "r"),
    ("stop", "w"),
    ("version", "r"),
];

/// Whether a name is that of a handler of the router.
pub(crate) fn is_global(name: &str) -> bool {
    GLOBAL.iter().any(|g| g.0 == name)
}

const COMMON: &[&str] = &["class", "config", "handlers", "name", "ports"];

/// Functions of scripts that only they themselves may call: files and processes are not for those who reach their handlers.
const PRIVATE: &[&str] = &["cat", "catq", "kill"];

/// Handlers of an element's work.
const WORK: &[(&str, &str)] = &[("home_thread", "r"), ("scheduled", "r"), ("tickets", "rw")];

/// Handlers that the host adds; a guest adds none.
fn added(host: &dyn Host) -> &'static [Handler] {
    if cfg!(feature = "host") { host.handlers() } else { &[] }
}

/// One of them.
fn own(host: &dyn Host, name: &str) -> Option<&'static Handler> {
    added(host).iter().find(|h| h.name == name)
}

fn refused(handler: &str, verb: &str) -> HandlerError {
    HandlerError::Forbidden(format!("handler '{handler}' cannot be {verb}"))
}

fn absent(handler: &str) -> HandlerError {
    HandlerError::NotFound(format!("no handler named '{handler}'"))
}

fn mode(handler: &Handler) -> &'static str {
    match (handler.read, handler.write) {
        (true, true) => "rw",
        (true, false) => "r",
        _ => "w",
    }
}

impl Engine {
    pub(crate) fn find_element(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    fn find<'h>(&self, handler: &'h str) -> Result<(usize, &'h str), HandlerError> {
        // A proxy's handlers have points in their names.
        let (element, name) = handler.split_once('.').ok_or_else(|| absent(handler))?;
        match self.find_element(element) {
            Some(id) => Ok((id, name)),
            None => Err(HandlerError::NotFound(format!("no element named '{element}'"))),
        }
    }

    /// A handler of an element's class.
    fn own(&self, id: usize, name: &str) -> Option<&'static Handler> {
        let handlers = self.slots[id].class.handlers;
        let any = || handlers.iter().find(|h| h.name == "*" && !PRIVATE.contains(&name));
        handlers.iter().find(|h| h.name == name).or_else(any)
    }

    /// Whether a handler can be read, and whether it can be written.
    #[cfg(feature = "host")]
    pub(crate) fn permissions(&self, host: &dyn Host, handler: &str) -> Result<(bool, bool), HandlerError> {
        if let Some(h) = own(host, handler) {
            return Ok((h.read, h.write));
        }
        if let Some((_, mode)) = GLOBAL.iter().find(|g| g.0 == handler) {
            return Ok((mode.contains('r'), mode.contains('w')));
        }
        let (id, name) = self.find(handler)?;
        if COMMON.contains(&name) {
            return Ok((true, name == "config" && reconfigures(self.slots[id].class.name)));
        }
        let work = || WORK.iter().find(|w| w.0 == name).map(|w| (true, w.1 == "rw"));
        self.own(id, name).map(|h| (h.read, h.write)).or_else(work).ok_or_else(|| absent(handler))
    }

    /// [`Engine::read`], refused if a script that was called has reported an error.
    pub(crate) fn read_and_hear(
        &mut self,
        host: &mut dyn Host,
        handler: &str,
    ) -> Result<String, HandlerError> {
        let value = self.read(host, handler);
        self.report_failure(value)
    }

    /// [`Engine::write`], likewise.
    pub(crate) fn write_and_hear(
        &mut self,
        host: &mut dyn Host,
        handler: &str,
        value: &str,
    ) -> Result<(), HandlerError> {
        let done = self.write(host, handler, value);
        self.report_failure(done)
    }

    fn report_failure<T>(&mut self, result: Result<T, HandlerError>) -> Result<T, HandlerError> {
        if self.caller_reports.is_empty() {
            return result;
        }
        let mut all = core::mem::take(&mut self.caller_reports);
        all.extend(result.err().map(|e| e.to_string()).filter(|e| !e.is_empty()));
        Err(HandlerError::Refused(all.join("\n")))
    }

    /// Value of a handler, whose name may be followed by an argument.
    pub(crate) fn read(&mut self, host: &mut dyn Host, handler: &str) -> Result<String, HandlerError> {
        let (handler, argument) =
            handler.trim().split_once(char::is_whitespace).unwrap_or((handler.trim(), ""));
        #[cfg(feature = "host")]
        if handler == "profile" {
            self.count_elsewhere(host);
        }
        if let Some(value) = self.read_global(host, handler) {
            return value;
        }
        let (id, name) = self.find(handler)?;
        #[cfg(feature = "host")]
        if let Some(thread) = self.other_thread(id) {
            let wish = format!("{handler} {argument}");
            return self.request(host, thread, move |engine, host| engine.read_and_hear(host, &wish));
        }
        if COMMON.contains(&name) {
            return Ok(self.read_common(id, name));
        }
        match self.own(id, name) {
            None => self.read_work(id, name).ok_or_else(|| absent(handler)),
            Some(h) if !h.read => Err(refused(handler, "read")),
            Some(Handler { argument: Some(position), .. }) => {
                Ok(argument_of(&self.slots[id].config, name, *position).unwrap_or_default())
            }
            Some(_) => {
                let value = self.with(host, id, |e, cx| e.read(cx, name, argument.trim()));
                value.unwrap_or_else(|| Err("element is at work".to_string())).map_err(HandlerError::Refused)
            }
        }
    }

    fn read_global(&self, host: &dyn Host, handler: &str) -> Option<Result<String, HandlerError>> {
        Some(Ok(match handler {
            "list" => format!("{}\n{}", self.slots.len(), self.lines(|s| s.name.clone())),
            "classes" => {
                Library { host: host.classes() }.classes().map(|c| format!("{}\n", c.name)).collect()
            }
            "version" => env!("CARGO_PKG_VERSION").to_string(),
            "config" => self.source.clone(),
            "flatconfig" => self.flat_config(),
            "packages" | "requirements" => String::new(),
            "handlers" => GLOBAL
                .iter()
                .map(|(name, mode)| (*name, *mode))
                .filter(|(name, _)| own(host, name).is_none())
                .chain(added(host).iter().map(|h| (h.name, mode(h))))
                .map(|(name, mode)| format!("{name}\t{mode}\n"))
                .collect(),
            "profile" => self.profile(),
            "profiling" => self.profiling.to_string(),
            "stop" => return Some(Err(refused(handler, "read"))),
            _ => return None,
        }))
    }

    fn read_work(&self, id: usize, name: &str) -> Option<String> {
        match name {
            #[cfg(feature = "host")]
            "home_thread" => Some(crate::threads::thread_of(self, id)),
            #[cfg(not(feature = "host"))]
            "home_thread" => Some("0".to_string()),
            "scheduled" => Some(self.tasks().is_scheduled(id).to_string()),
            "tickets" => Some(self.tasks().tickets(id).to_string()),
            _ => None,
        }
    }

    fn lines(&self, f: impl Fn(&Slot) -> String) -> String {
        self.slots.iter().map(|s| f(s) + "\n").collect()
    }

    fn flat_config(&self) -> String {
        let declaration = |s: &Slot| match s.config.is_empty() {
            true => format!("{} :: {};", s.name, s.class.name),
            false => format!("{} :: {}({});", s.name, s.class.name, s.config),
        };
        let mut out = self.lines(declaration);
        let port = |p: usize| if p == 0 { String::new() } else { format!("[{p}] ") };
        for (slot, ports) in self.slots.iter().zip(&self.ports) {
            for (n, target) in ports.connections() {
                let to = &self.slots[target.element].name;
                out += &format!("{} {}-> {}{to};\n", slot.name, port(n), port(target.port));
            }
        }
        out
    }

    /// Packets, batches and, since profiling was switched on, cycles per packet of each element.
    fn profile(&self) -> String {
        let width = self.slots.iter().map(|s| s.name.len()).max().unwrap_or(0).clamp(7, 40);
        let head =
            format!("{:<width$} {:>14} {:>12} {:>14}\n", "element", "packets", "batches", "cycles/packet");
        head + &self.lines(|s| {
            let each = s.cycles.checked_div(s.packets).unwrap_or(0);
            format!("{:<width$} {:>14} {:>12} {each:>14}", s.name, s.packets, s.batches)
        }) + &self.lost_between_threads()
    }

    /// A line about packets that were dropped because another thread was too far behind, if there are any.
    fn lost_between_threads(&self) -> String {
        #[cfg(feature = "host")]
        if let Some(lost @ 1..) = self.threads.mailbox.as_ref().map(crate::threads::Mailbox::dropped) {
            return format!("{lost} packets were dropped between threads\n");
        }
        String::new()
    }

    fn read_common(&self, id: usize, name: &str) -> String {
        let slot = &self.slots[id];
        match name {
            "name" => slot.name.clone(),
            "class" => slot.class.name.to_string(),
            "config" => slot.config.clone(),
            "ports" => self.port_list(id),
            _ => {
                let changes = |n: &str| n == "config" && reconfigures(slot.class.name);
                let common = COMMON.iter().map(|n| format!("{n}\t{}\n", if changes(n) { "rw" } else { "r" }));
                let own = slot.class.handlers.iter().filter(|h| h.name != "*");
                let works = if self.tasks().is_known(id) { WORK } else { &[] };
                common
                    .chain(works.iter().map(|(name, mode)| format!("{name}\t{mode}\n")))
                    .chain(own.map(|h| format!("{}\t{}\n", h.name, mode(h))))
                    .collect()
            }
        }
    }

    /// The ports of an element, one a line: what each does, packets (which are not counted), and what it is connected to.
    fn port_list(&self, id: usize) -> String {
        let ports = &self.ports[id];
        let word = |push| if push { "push" } else { "pull" };
        let plural = |n: usize| if n == 1 { "" } else { "s" };
        let name = |id: usize| &self.slots[id].name;
        let (inputs, outputs) = (ports.inputs.len(), ports.outputs.len());
        // What an element does as its neighbours do is marked.
        let (into, out_of) = crate::graph::flows(self.slots[id].class.processing, inputs, outputs);
        let mark = |flow| if flow == crate::element::Flow::Agnostic { "~" } else { "" };
        let mut out = format!("{inputs} input{}\n", plural(inputs));
        for (i, flow) in into.iter().enumerate() {
            let here = Port { element: id, port: i };
            let all = self.ports.iter().enumerate().flat_map(|(from, p)| {
                let leading = p.connections().filter(move |c| c.1 == here);
                leading.map(move |(n, _)| format!("{} [{n}]", name(from)))
            });
            out += &format!("{}{}\t-\t{}\n", word(ports.is_pushed(i)), mark(*flow), join(all));
        }
        out += &format!("{outputs} output{}\n", plural(outputs));
        for (o, flow) in out_of.iter().enumerate() {
            let all = ports.connections().filter(|c| c.0 == o);
            let all = all.map(|(_, to)| format!("[{}] {}", to.port, name(to.element)));
            out += &format!("{}{}\t-\t{}\n", word(ports.pushes(o)), mark(*flow), join(all));
        }
        out
    }

    /// Handlers of an element, one a line.
    pub(crate) fn handlers(&self, element: &str) -> Result<String, HandlerError> {
        let id = self.find_element(element);
        let id = id.ok_or_else(|| HandlerError::NotFound(format!("no element named '{element}'")))?;
        Ok(self.read_common(id, "handlers"))
    }

    /// Makes an element anew from another configuration string; its state stays as when the whole router is replaced.
    fn reconfigure(&mut self, host: &mut dyn Host, id: usize, config: &str) -> Result<(), String> {
        let slot = &self.slots[id];
        let ports = (slot.inputs.len(), slot.outputs.len());
        let mut args = Args::new(config, slot.class.keywords, self.names.of(&slot.name), ports);
        let made = (slot.class.make)(&mut args);
        if let Some((message, _)) = args.finish().into_iter().next() {
            return Err(message);
        }
        let Some(mut old) = self.slots[id].element.replace(made) else {
            // Whoever has it gives it back.
            self.slots[id].element = None;
            return Err("element is at work".to_string());
        };
        let initialized = self.with(host, id, |e, cx| e.initialize(cx));
        let slot = &mut self.slots[id];
        if let Some(Err(message)) = initialized {
            slot.element = Some(old);
            return Err(message);
        }
        slot.config = config.trim().to_string();
        if let Some(new) = &mut slot.element {
            new.take_over(old.as_mut());
        }
        for i in 0..self.slots[id].listeners.len() {
            self.schedule(self.slots[id].listeners[i]);
        }
        Ok(())
    }

    pub(crate) fn write(
        &mut self,
        host: &mut dyn Host,
        handler: &str,
        value: &str,
    ) -> Result<(), HandlerError> {
        #[cfg(feature = "host")]
        if handler.trim() == "profiling" {
            self.profile_elsewhere(host, value);
        }
        self.write_here(host, handler, value)
    }

    pub(crate) fn write_here(
        &mut self,
        host: &mut dyn Host,
        handler: &str,
        value: &str,
    ) -> Result<(), HandlerError> {
        let handler = handler.trim();
        match handler {
            _ if own(host, handler).is_some_and(|h| h.write) => return host.write(handler, value),
            "stop" => {
                self.stop_requested = true;
                return Ok(());
            }
            "profiling" => {
                let on = ["true", "1", "yes"].contains(&value.trim());
                if on && !self.profiling {
                    self.slots.iter_mut().for_each(|s| (s.packets, s.batches, s.cycles) = (0, 0, 0));
                }
                self.profiling = on;
                return Ok(());
            }
            _ if is_global(handler) => return Err(refused(handler, "written")),
            _ => {}
        }
        let (id, name) = self.find(handler)?;
        #[cfg(feature = "host")]
        if let Some(thread) = self.other_thread(id) {
            let (handler, value) = (handler.to_string(), value.to_string());
            return self
                .request(host, thread, move |engine, host| engine.write_and_hear(host, &handler, &value));
        }
        if name == "config" && reconfigures(self.slots[id].class.name) {
            return self.reconfigure(host, id, value).map_err(HandlerError::Refused);
        }
        if COMMON.contains(&name) {
            return Err(refused(handler, "written"));
        }
        match self.own(id, name) {
            None if name == "tickets" => {
                let tickets = crate::args::parse_number(value.trim()).and_then(|n| u32::try_from(n).ok());
                let tickets =
                    tickets.ok_or_else(|| HandlerError::Refused("expected a number".to_string()))?;
                self.set_tickets(id, tickets);
                Ok(())
            }
            None if self.read_work(id, name).is_some() => Err(refused(handler, "written")),
            None => Err(absent(handler)),
            Some(h) if !h.write => Err(refused(handler, "written")),
            Some(Handler { argument: Some(position), .. }) => {
                let config = with_argument(&self.slots[id].config, name, *position, value.trim());
                self.reconfigure(host, id, &config).map_err(HandlerError::Refused)
            }
            Some(_) => {
                let done = self.with(host, id, |e, cx| e.write(cx, name, value.trim()));
                done.unwrap_or_else(|| Err("element is at work".to_string())).map_err(HandlerError::Refused)
            }
        }
    }
}

/// Where the argument of a handler stands among others: under its keyword, or at a position without one.
fn place_of(arguments: &[&str], name: &str, position: usize) -> Option<usize> {
    let named = |a: &str| crate::args::keyword(a).is_some_and(|(word, _)| word.eq_ignore_ascii_case(name));
    let plain = |(_, a): &(usize, &&str)| crate::args::keyword(a).is_none();
    let place = arguments.iter().position(|a| named(a));
    place.or_else(|| arguments.iter().enumerate().filter(plain).nth(position).map(|(i, _)| i))
}

/// The value of an argument, if it is given.
fn argument_of(config: &str, name: &str, position: usize) -> Option<String> {
    let arguments = crate::args::split(config);
    let argument = arguments[place_of(&arguments, name, position)?];
    Some(crate::args::keyword(argument).map_or(argument, |(_, value)| value).to_string())
}

/// A configuration in which an argument has another value.
fn with_argument(config: &str, name: &str, position: usize, value: &str) -> String {
    let arguments = crate::args::split(config);
    let place = place_of(&arguments, name, position);
    let mut new: alloc::vec::Vec<String> = arguments.iter().map(|a| a.to_string()).collect();
    let named = format!("{} {value}", name.to_ascii_uppercase());
    match place {
        Some(at) if crate::args::keyword(arguments[at]).is_none() => new[at] = value.to_string(),
        Some(at) => new[at] = named,
        None => new.push(named),
    }
    new.join(", ")
}

fn join(list: impl Iterator<Item = String>) -> String {
    list.collect::<alloc::vec::Vec<_>>().join(", ")
}

/// Reads a value written to a handler, in the words of configuration arguments.
#[inline(never)]
pub fn parse<T: crate::args::Argument>(cx: &crate::element::Context<'_>, value: &str) -> Result<T, String> {
    T::parse(value.trim(), cx.names()).ok_or_else(|| format!("expected {}, not '{value}'", T::WHAT))
}
