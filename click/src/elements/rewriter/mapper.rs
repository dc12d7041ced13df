//! Elements that choose for rewriters what new flows become.

use super::flow::{FlowId, Kind};
use super::input::{Outputs, Spec};
use super::table::Table;
use super::{RoundRobinIPMapper, SourceIPHashMapper};
use crate::args::{Args, Names};
use crate::element::Context;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::any::Any;

/// A choice to be made.
pub(super) struct Request<'a> {
    pub(super) kind: Kind,
    pub(super) flow: FlowId,
    pub(super) table: &'a Table,
    pub(super) random: u64,
}

/// What chooses.
pub(super) trait Mapper {
    /// What a flow becomes and where it goes; `None`: nothing will do.
    fn choose(&mut self, request: &Request<'_>) -> Option<(FlowId, Outputs)>;

    /// What there is to choose from.
    fn servers(&self) -> &[Server];
}

/// An element as a mapper, if it is one.
pub(super) fn of<'a>(cx: &'a mut Context<'_>, id: usize) -> Option<&'a mut dyn Mapper> {
    let element = cx.element(id)? as &mut dyn Any;
    if element.is::<RoundRobinIPMapper>() {
        return element.downcast_mut::<RoundRobinIPMapper>().map(|e| e as &mut dyn Mapper);
    }
    element.downcast_mut::<SourceIPHashMapper>().map(|e| e as &mut dyn Mapper)
}

/// What flows can become: a server, say.
pub(super) struct Server {
    pub(super) spec: Spec,
    pub(super) up: bool,
    pub(super) chosen: u64,
}

impl Server {
    /// Tries it for a flow.
    pub(super) fn take(&mut self, request: &Request<'_>) -> Option<(FlowId, Outputs)> {
        let Spec::Pattern(pattern, outputs) = &mut self.spec else { return None };
        let to = pattern.choose(request.kind, request.flow, request.table, request.random)?;
        self.chosen += 1;
        Some((to, *outputs))
    }
}

/// The arguments that are left, one server each. Outputs are the rewriter's, whose number is not known here.
pub(super) fn servers(args: &mut Args<'_>) -> Vec<Server> {
    let mut servers = Vec::new();
    for word in args.rest() {
        let words: Vec<&str> = word.text.split_whitespace().collect();
        match Spec::pattern(&words, args.names, usize::MAX) {
            Ok(spec) => servers.push(Server { spec, up: true, chosen: 0 }),
            Err(message) => args.error_in(&word, message),
        }
    }
    match servers.len() {
        0 => args.error("no patterns given"),
        1 => args.warn("only one pattern given"),
        _ => {}
    }
    servers
}

/// A server, and the number behind it if there is one.
pub(super) fn server_with_id(text: &str, names: &Names) -> Result<(Server, Option<u64>), String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (words, id) = match words[..] {
        [ref words @ .., id] if matches!(words.len(), 3 | 6) => {
            (words, Some(crate::args::parse_number(id).ok_or("bad ID")?))
        }
        _ => (&words[..], None),
    };
    Ok((Server { spec: Spec::pattern(words, names, usize::MAX)?, up: true, chosen: 0 }, id))
}

/// What servers of the same pattern were.
pub(super) fn take_over(servers: &mut [Server], old: &[Server]) {
    for server in servers {
        let name = server.spec.to_string();
        if let Some(old) = old.iter().find(|o| o.spec.to_string() == name) {
            (server.up, server.chosen) = (old.up, old.chosen);
        }
    }
}

/// The handler `servers`.
pub(super) fn list(servers: &[Server]) -> String {
    let line = |(i, s): (usize, &Server)| {
        format!("{i}\t{}\t{}\t{}\n", if s.up { "up" } else { "down" }, s.chosen, s.spec)
    };
    servers.iter().enumerate().map(line).collect()
}

/// The handlers `up` and `down`.
pub(super) fn set(servers: &mut [Server], handler: &str, value: &str) -> Result<(), String> {
    let number = crate::args::parse_number(value).and_then(|n| usize::try_from(n).ok());
    let server = number.and_then(|n| servers.get_mut(n)).ok_or_else(|| format!("no server '{value}'"))?;
    server.up = handler == "up";
    Ok(())
}

/// Before the first flow.
pub(super) fn resolve(servers: &mut [Server], cx: &mut Context<'_>) -> Result<(), String> {
    servers
        .iter_mut()
        .enumerate()
        .try_for_each(|(i, server)| server.spec.resolve(cx).map_err(|e| format!("pattern {i}: {e}")))
}
