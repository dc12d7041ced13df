use crate::args::{Args, Argument, Ipv6, Names, Prefix6, parse_number};
use crate::decision::NOWHERE;
use crate::element::{Context, Element, read, write};
use crate::elements::content::distribute;
use crate::packet::Batch;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

crate::element! {
    /// Sends IPv6 packets out by the route to their destination; routes can change while it runs.
    ///
    /// The destination is an annotation, as `CheckIP6Header` sets it. The route with the longest prefix wins; packets
    /// without a route are dropped.
    ///
    /// # Arguments
    /// Routes: `ADDR/LENGTH [GATEWAY] OUTPUT`. A gateway becomes the destination annotation.
    ///
    /// # Handlers
    /// `table`: the routes. `lookup ADDRESS`: the answer for an address. `add`: a route as an argument has it, instead of
    /// the one for the same prefix. `remove PREFIX`.
    LookupIP6Route "1/-" "h/h"
    handlers [read("table"), read("lookup"), write("add"), write("remove")]
    { routes: Vec<Route> }
}

/// A route. Longer prefixes come first.
struct Route {
    prefix: Prefix6,
    gateway: Option<Ipv6>,
    output: usize,
}

fn route(text: &str, names: &Names, outputs: usize) -> Result<Route, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (prefix, gateway, output) = match words[..] {
        [prefix, output] | [prefix, "-", output] => (prefix, None, output),
        [prefix, gateway, output] => (prefix, Some(gateway), output),
        _ => return Err(format!("expected 'ADDR/LENGTH [GATEWAY] OUTPUT', not '{text}'")),
    };
    let gateway = match gateway {
        Some(text) => {
            let address = Ipv6::parse(text, names);
            Some(address.ok_or_else(|| format!("expected a gateway's IPv6 address, not '{text}'"))?)
        }
        None => None,
    };
    let prefix =
        Prefix6::parse(prefix, names).ok_or_else(|| format!("expected an IPv6 prefix, not '{prefix}'"))?;
    let output =
        parse_number(output).ok_or_else(|| format!("expected an output port, not '{output}'"))? as usize;
    if output >= outputs {
        return Err(format!("output port {output} does not exist ({outputs} are connected)"));
    }
    Ok(Route { prefix, gateway, output })
}

impl LookupIP6Route {
    fn new(args: &mut Args<'_>) -> Self {
        let mut new = Self { routes: Vec::new() };
        for word in args.rest() {
            match route(&word.text, args.names, args.outputs) {
                Ok(route) => new.add(route),
                Err(message) => args.error_in(&word, message),
            }
        }
        new
    }

    fn add(&mut self, route: Route) {
        self.routes.retain(|r| r.prefix != route.prefix);
        let place = self.routes.partition_point(|r| r.prefix.1 >= route.prefix.1);
        self.routes.insert(place, route);
    }

    fn find(&self, address: [u8; 16]) -> Option<&Route> {
        self.routes.iter().find(|r| r.prefix.contains(address))
    }
}

impl Element for LookupIP6Route {
    fn push(&mut self, cx: &mut Context<'_>, _: usize, batch: Batch) {
        distribute(cx, batch, |packet| {
            let Some(route) = self.find(packet.destination6()) else { return NOWHERE };
            if let Some(gateway) = route.gateway {
                packet.set_destination6(gateway.0);
            }
            route.output
        });
    }

    fn read(&mut self, cx: &mut Context<'_>, handler: &str, argument: &str) -> Result<String, String> {
        let gateway = |r: &Route| r.gateway.map_or("-".to_string(), |g| g.to_string());
        if handler == "table" {
            let line = |r: &Route| format!("{}\t{}\t{}\n", r.prefix, gateway(r), r.output);
            return Ok(self.routes.iter().map(line).collect());
        }
        let address = Ipv6::parse(argument, cx.names());
        let address = address.ok_or_else(|| format!("expected an IPv6 address, not '{argument}'"))?;
        Ok(match self.find(address.0) {
            None => "-1".to_string(),
            Some(r) if r.gateway.is_none() => r.output.to_string(),
            Some(r) => format!("{} {}", r.output, gateway(r)),
        })
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        if handler == "add" {
            self.add(route(value, cx.names(), cx.outputs())?);
            return Ok(());
        }
        let word = value.split_whitespace().next().unwrap_or("");
        let prefix = Prefix6::parse(word, cx.names())
            .ok_or_else(|| format!("expected an IPv6 prefix, not '{word}'"))?;
        let before = self.routes.len();
        self.routes.retain(|r| r.prefix != prefix);
        if self.routes.len() == before { Err(format!("route '{word}' not found")) } else { Ok(()) }
    }
}
