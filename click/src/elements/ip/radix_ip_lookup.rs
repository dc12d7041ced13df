use super::routes::Routes;
use crate::args::Args;
use crate::element::{Context, Element, read, write};
use crate::packet::Batch;
use alloc::string::String;

crate::element! {
    /// Sends IP packets out by the route to their destination; routes can change while it runs.
    ///
    /// The destination is an annotation, as `CheckIPHeader` sets it. The route with the longest prefix wins; packets
    /// without a route are dropped.
    ///
    /// # Arguments
    /// Routes: `ADDR/MASK [GATEWAY] OUTPUT`. A gateway becomes the destination annotation.
    ///
    /// # Handlers
    /// `table`: the routes, in the order given. `lookup ADDRESS`: the answer for an address. `add`, `set`: a route as an argument has it; `set`
    /// replaces the one for the same prefix. `remove PREFIX`. `flush`: removes all. `ctrl`: lines of these, done all or
    /// not at all.
    RadixIPLookup "1/-" "h/h"
    handlers [
        read("table"), read("lookup"), write("add"), write("set"), write("remove"), write("ctrl"), write("flush"),
    ]
    { routes: Routes }
}

impl RadixIPLookup {
    fn new(args: &mut Args<'_>) -> Self {
        Self { routes: Routes::new(args) }
    }
}

impl Element for RadixIPLookup {
    #[inline]
    fn push(&mut self, cx: &mut Context<'_>, _: usize, batch: Batch) {
        self.routes.forward(cx, batch);
    }

    fn read(&mut self, cx: &mut Context<'_>, handler: &str, argument: &str) -> Result<String, String> {
        self.routes.read(cx, handler, argument)
    }
    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        self.routes.write(cx, handler, value)
    }
}
