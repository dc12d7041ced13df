use super::flow::FlowId;
use super::input::Outputs;
use super::mapper::{self, Mapper, Request, Server};
use crate::args::Args;
use crate::element::{Context, Element, read, write};
use alloc::string::String;
use alloc::vec::Vec;
use core::any::Any;

crate::element! {
    /// Chooses for rewriters what new flows become: each of its patterns in turn.
    ///
    /// A rewriter that has its name as an input specification asks it about flows that it does not know. A pattern that
    /// has nothing left is passed over.
    ///
    /// # Arguments
    /// Each: `SADDR SPORT DADDR DPORT FOUTPUT ROUTPUT` or `PATNAME FOUTPUT ROUTPUT`, as in `IPRewriter`; outputs are
    /// the rewriter's.
    ///
    /// # Handlers
    /// `servers`: the patterns, one a line: number, up or down, flows so far, pattern. `down`: number of one that gets
    /// no more flows; those that it has go on. `up`: number of one that gets them again.
    RoundRobinIPMapper "0/0" "a/a"
    handlers [read("servers"), write("up"), write("down")]
    { servers: Vec<Server>, next: usize }
}

impl RoundRobinIPMapper {
    fn new(args: &mut Args<'_>) -> Self {
        Self { servers: mapper::servers(args), next: 0 }
    }
}

impl Mapper for RoundRobinIPMapper {
    fn servers(&self) -> &[Server] {
        &self.servers
    }

    fn choose(&mut self, request: &Request<'_>) -> Option<(FlowId, Outputs)> {
        for _ in 0..self.servers.len() {
            let number = self.next;
            self.next = (number + 1) % self.servers.len();
            let server = &mut self.servers[number];
            if server.up
                && let Some(found) = server.take(request)
            {
                return Some(found);
            }
        }
        None
    }
}

impl Element for RoundRobinIPMapper {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        mapper::resolve(&mut self.servers, cx)
    }

    fn phase(&self) -> i32 {
        super::MAPPERS
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<Self>() {
            mapper::take_over(&mut self.servers, &old.servers);
        }
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(mapper::list(&self.servers))
    }

    fn write(&mut self, _: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        mapper::set(&mut self.servers, handler, value)
    }
}
