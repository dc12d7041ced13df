use crate::args::Args;
use crate::batch::Batch;
use crate::element::{Class, Context, Element, Handler, read};
use crate::elements::boxed;
use crate::elements::content::classifier::distribute;
use crate::elements::routes::Routes;
use alloc::boxed::Box;
use alloc::string::String;

/// Routes IP packets by their destination annotation, by a table that does not change.
/// The longest prefix wins; packets without a route are dropped. A route with a gateway makes it the destination
/// annotation.
///
/// Arguments: routes `ADDRESS/MASK [GATEWAY] OUTPUT`. Input 0, any number of outputs (push). Handlers: `table` (read).
#[derive(Debug)]
pub struct StaticIPLookup {
    routes: Routes,
}

/// The class.
pub const CLASS: Class = Class { name: "StaticIPLookup", ports: "1/-", processing: "h/h", keywords: &[], make };

fn make(args: &mut Args<'_>) -> Box<dyn Element> {
    boxed(StaticIPLookup { routes: parse(args) })
}

/// Reads routes, noting errors in the arguments.
pub fn parse(args: &mut Args<'_>) -> Routes {
    let mut routes = Routes::default();
    for text in args.rest() {
        if let Err(message) = Routes::parse(&text, args.names).and_then(|r| routes.set(r)) {
            args.error(message);
        }
    }
    routes
}

/// Checks that every route's output is connected.
pub fn check_outputs(routes: &Routes, cx: &Context<'_>) -> Result<(), String> {
    if !routes.is_empty() && routes.highest_port() >= cx.outputs() {
        return Err(alloc::format!("a route names output {}, which is not connected", routes.highest_port()));
    }
    Ok(())
}

/// Sends each packet along its route.
#[inline]
pub fn forward(routes: &Routes, cx: &mut Context<'_>, batch: Batch) {
    distribute(cx, batch, |p| {
        let route = routes.find(p.destination())?;
        if route.gateway != [0; 4] {
            p.set_destination(route.gateway);
        }
        Some(route.port)
    });
}

impl Element for StaticIPLookup {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        check_outputs(&self.routes, cx)
    }

    fn push(&mut self, cx: &mut Context<'_>, _: usize, batch: Batch) {
        forward(&self.routes, cx, batch);
    }

    fn handlers(&self) -> &'static [Handler] {
        &[read("table")]
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str) -> String {
        self.routes.table()
    }
}
