use super::flow::FlowId;
use super::input::Outputs;
use super::mapper::{self, Mapper, Request, Server};
use crate::args::Args;
use crate::element::{Context, Element, read, write};
use alloc::string::String;
use alloc::vec::Vec;
use core::any::Any;

crate::element! {
    /// Chooses for rewriters what new flows become, by the source address: one source always gets the same pattern.
    ///
    /// Sources are spread by consistent hashing (Karger and others, 1997): when a pattern comes or goes, only the
    /// sources of about one pattern change.
    ///
    /// # Arguments
    /// First `NNODES SEED`: points on the circle for each pattern, and a number that decides where they lie. Then
    /// patterns: `SADDR SPORT DADDR DPORT FOUTPUT ROUTPUT ID` or `PATNAME FOUTPUT ROUTPUT ID`; outputs are the
    /// rewriter's, and the ID, which keeps a pattern's points in place, is its number if it is missing.
    ///
    /// # Handlers
    /// `servers`: the patterns, one a line: number, up or down, flows so far, pattern. `down`: number of one that gets
    /// no more flows; those that it has go on. `up`: number of one that gets them again.
    SourceIPHashMapper "0/0" "a/a"
    handlers [read("servers"), write("up"), write("down")]
    {
        servers: Vec<Server>,
        /// Points on the circle, in order, and whose they are.
        points: Vec<(u64, usize)>,
    }
}

/// Most points on the circle for each pattern.
const POINTS: u64 = 1024;

/// Spreads numbers (the finalizer of splitmix64).
fn mix(mut n: u64) -> u64 {
    n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

impl SourceIPHashMapper {
    fn new(args: &mut Args<'_>) -> Self {
        let mut words = args.rest().into_iter();
        let numbers = words.next().map(|w| w.text).unwrap_or_default();
        let mut numbers = numbers.split_whitespace().map(crate::args::parse_number);
        let (nodes, seed) = match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(Some(nodes @ 1..=POINTS)), Some(Some(seed)), None) => (nodes, seed),
            _ => {
                args.error(alloc::format!("expected 'NNODES SEED', NNODES from 1 to {POINTS}"));
                (1, 0)
            }
        };
        let (mut servers, mut points) = (Vec::new(), Vec::new());
        for (number, word) in words.enumerate() {
            match mapper::server_with_id(&word.text, args.names) {
                Ok((server, id)) => {
                    let id = mix(id.unwrap_or(number as u64) ^ mix(seed));
                    points.extend((0..nodes).map(|n| (mix(id.wrapping_add(mix(n + 1))), servers.len())));
                    servers.push(server);
                }
                Err(message) => args.error_in(&word, message),
            }
        }
        if servers.is_empty() {
            args.error("no patterns given");
        }
        points.sort_unstable();
        Self { servers, points }
    }
}

impl Mapper for SourceIPHashMapper {
    fn servers(&self) -> &[Server] {
        &self.servers
    }

    fn choose(&mut self, request: &Request<'_>) -> Option<(FlowId, Outputs)> {
        let source = u32::from_be_bytes(request.flow.source().0);
        let place = mix(u64::from(source) << 32 | u64::from(source));
        let first = self.points.partition_point(|p| p.0 < place);
        let around = self.points[first..].iter().chain(&self.points[..first]);
        let at = around.map(|p| p.1).find(|&s| self.servers[s].up)?;
        self.servers[at].take(request)
    }
}

impl Element for SourceIPHashMapper {
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
