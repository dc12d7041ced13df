//! Routes by longest prefix.

use crate::args::{Args, Ipv4, Names, Prefix, mask_bits, parse_number};
use crate::element::Context;
use crate::elements::content::distribute;
use crate::packet::Batch;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// One route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Route {
    prefix: Prefix,
    gateway: [u8; 4],
    output: usize,
    /// Place in the order in which routes were given.
    number: u64,
}

/// Addresses from here to the next interval's start have this answer.
#[derive(Clone, Copy, Debug)]
struct Interval {
    start: u32,
    gateway: [u8; 4],
    output: usize,
}

impl Route {
    /// Its words, with this between them.
    fn line(&self, space: char) -> String {
        let gateway = if self.gateway == [0; 4] { "-".to_string() } else { Ipv4(self.gateway).to_string() };
        format!("{}{space}{gateway}{space}{}", self.prefix, self.output)
    }
}

const NO_ROUTE: usize = crate::decision::NOWHERE;

/// A table of routes. Lookups search intervals of addresses, which are made when the first lookup after a change needs
/// them.
#[derive(Default)]
pub(super) struct Routes {
    /// Shorter prefixes first, by address among equals.
    routes: Vec<Route>,
    intervals: Vec<Interval>,
    stale: bool,
    /// Routes given so far.
    given: u64,
}

/// `ADDRESS/LENGTH [GATEWAY] OUTPUT`
fn route(text: &str, names: &Names, outputs: usize) -> Result<Route, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (prefix, gateway, output) = match words[..] {
        [prefix, output] => (prefix, None, output),
        [prefix, "-", output] => (prefix, None, output),
        [prefix, gateway, output] => (prefix, Some(gateway), output),
        _ => return Err(format!("expected 'ADDR/MASK [GATEWAY] OUTPUT', not '{text}'")),
    };
    let (address, length) =
        names.prefix(prefix).ok_or_else(|| format!("expected an IP prefix, not '{prefix}'"))?;
    let gateway = match gateway {
        Some(text) => {
            names.ipv4(text).ok_or_else(|| format!("expected a gateway's IP address, not '{text}'"))?
        }
        None => [0; 4],
    };
    let output =
        parse_number(output).ok_or_else(|| format!("expected an output port, not '{output}'"))? as usize;
    if output >= outputs {
        return Err(format!("output port {output} does not exist ({outputs} are connected)"));
    }
    Ok(Route { prefix: Prefix(address, length), gateway, output, number: 0 })
}

impl Routes {
    pub(super) fn new(args: &mut Args<'_>) -> Self {
        let mut table = Self { stale: true, ..Self::default() };
        for word in args.rest() {
            match route(&word.text, args.names, args.outputs) {
                Ok(route) => {
                    table.given += 1;
                    table.routes.push(Route { number: table.given, ..route });
                }
                Err(message) => args.error_in(&word, message),
            }
        }
        let given = table.routes.len();
        // The last of several routes for one prefix counts.
        table.routes.sort_by_key(key);
        table.routes.reverse();
        table.routes.dedup_by_key(|r| r.prefix);
        table.routes.reverse();
        match given - table.routes.len() {
            0 => {}
            1 => args.warn("1 route replaced by later versions"),
            many => args.warn(format!("{many} routes replaced by later versions")),
        }
        table
    }

    fn find(&self, prefix: Prefix) -> Result<usize, usize> {
        self.routes.binary_search_by_key(&(prefix.1, prefix.0), key)
    }

    /// Adds a route, or takes the place of the one for its prefix if `replace`.
    fn add(&mut self, route: Route, replace: bool) -> Result<(), String> {
        match self.find(route.prefix) {
            Ok(at) if !replace => {
                return Err(format!("conflict with existing route '{}'", self.routes[at].line(' ')));
            }
            Ok(at) => self.routes[at] = Route { number: self.routes[at].number, ..route },
            Err(at) => {
                self.given += 1;
                self.routes.insert(at, Route { number: self.given, ..route });
            }
        }
        self.stale = true;
        Ok(())
    }

    fn remove(&mut self, text: &str, names: &Names) -> Result<(), String> {
        let word = text.split_whitespace().next().unwrap_or("");
        let (address, length) =
            names.prefix(word).ok_or_else(|| format!("expected an IP prefix, not '{word}'"))?;
        let at = self.find(Prefix(address, length)).map_err(|_| format!("route '{word}' not found"))?;
        self.routes.remove(at);
        self.stale = true;
        Ok(())
    }

    /// Intervals from routes: prefixes nest, so a stack holds those around the current address.
    fn rebuild(&mut self) {
        self.stale = false;
        let mut by_start: Vec<Route> = self.routes.clone();
        by_start.sort_by_key(|r| (u32::from_be_bytes(r.prefix.0), r.prefix.1));
        let mut out: Vec<Interval> = Vec::with_capacity(2 * by_start.len() + 1);
        let mut put = |start: u32, route: Option<&Route>| {
            if out.last().is_some_and(|last| last.start == start) {
                out.pop();
            }
            let (gateway, output) = route.map_or(([0; 4], NO_ROUTE), |r| (r.gateway, r.output));
            if out.last().is_none_or(|last| (last.gateway, last.output) != (gateway, output)) {
                out.push(Interval { start, gateway, output });
            }
        };
        put(0, None);
        let last = |r: &Route| u32::from_be_bytes(r.prefix.0) | !mask_bits(r.prefix.1);
        let mut around: Vec<Route> = Vec::new();
        let close =
            |around: &mut Vec<Route>, until: Option<u32>, put: &mut dyn FnMut(u32, Option<&Route>)| {
                while let Some(top) = around.last()
                    && until.is_none_or(|u| last(top) < u)
                {
                    let end = last(top);
                    around.pop();
                    if let Some(next) = end.checked_add(1) {
                        put(next, around.last());
                    }
                }
            };
        for route in &by_start {
            let start = u32::from_be_bytes(route.prefix.0);
            close(&mut around, Some(start), &mut put);
            put(start, Some(route));
            around.push(*route);
        }
        close(&mut around, None, &mut put);
        self.intervals = out;
    }

    #[inline]
    fn lookup(&self, address: [u8; 4]) -> &Interval {
        let address = u32::from_be_bytes(address);
        // The first interval starts at 0.
        let after = self.intervals.partition_point(|i| i.start <= address);
        &self.intervals[after.max(1) - 1]
    }

    /// Pushes packets by their destination annotation, which becomes the gateway if there is one.
    #[inline]
    pub(super) fn forward(&mut self, cx: &mut Context<'_>, batch: Batch) {
        if self.stale {
            self.rebuild();
        }
        distribute(cx, batch, |packet| {
            let found = self.lookup(packet.destination());
            if found.gateway != [0; 4] {
                packet.set_destination(found.gateway);
            }
            found.output
        });
    }

    pub(super) fn read(&mut self, cx: &Context<'_>, handler: &str, argument: &str) -> Result<String, String> {
        if handler == "table" {
            let mut routes: Vec<&Route> = self.routes.iter().collect();
            routes.sort_unstable_by_key(|r| r.number);
            return Ok(routes.into_iter().map(|r| r.line('\t') + "\n").collect());
        }
        let address =
            cx.names().ipv4(argument).ok_or_else(|| format!("expected an IP address, not '{argument}'"))?;
        if self.stale {
            self.rebuild();
        }
        let found = self.lookup(address);
        Ok(match found.output {
            NO_ROUTE => "-1".to_string(),
            output if found.gateway == [0; 4] => output.to_string(),
            output => format!("{output} {}", Ipv4(found.gateway)),
        })
    }

    /// `add`, `set`, `remove` and `flush`, or all of them in order in `ctrl`.
    pub(super) fn write(&mut self, cx: &Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "add" => self.add(route(value, cx.names(), cx.outputs())?, false),
            "set" => self.add(route(value, cx.names(), cx.outputs())?, true),
            "remove" => self.remove(value, cx.names()),
            "flush" => {
                self.routes.clear();
                self.stale = true;
                Ok(())
            }
            _ => self.control(cx, value),
        }
    }

    /// All lines, or none if one is wrong.
    fn control(&mut self, cx: &Context<'_>, text: &str) -> Result<(), String> {
        let before = self.routes.clone();
        let lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
        let done = lines.into_iter().try_for_each(|line| {
            let (verb, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            if !["add", "set", "remove", "flush"].contains(&verb) {
                return Err(format!("expected 'add', 'set', 'remove' or 'flush', not '{verb}'"));
            }
            self.write(cx, verb, rest)
        });
        if done.is_err() {
            self.routes = before;
            self.stale = true;
        }
        done
    }
}

fn key(route: &Route) -> (u8, [u8; 4]) {
    (route.prefix.1, route.prefix.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_longest_prefix_wins(routes in proptest::collection::vec((0u32..8, 0u8..33, 0usize..4), 0..12), low in 0u32..16, high: bool) {
            let spread = |n: u32| n << 29 | n << 14 | n;
            let mut table = Routes::default();
            for (address, length, output) in &routes {
                let prefix = Prefix(crate::args::mask(spread(*address).to_be_bytes(), *length), *length);
                table.add(Route { prefix, gateway: [0; 4], output: *output, number: 0 }, true).unwrap();
            }
            table.rebuild();
            let address = if high { spread(low) } else { low };
            let matching = table.routes.iter().filter(|r| crate::args::mask(address.to_be_bytes(), r.prefix.1) == r.prefix.0);
            let best = matching.max_by_key(|r| r.prefix.1).map_or(NO_ROUTE, |r| r.output);
            prop_assert_eq!(table.lookup(address.to_be_bytes()).output, best);
        }
    }
}
