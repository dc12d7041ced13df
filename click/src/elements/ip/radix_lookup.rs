use super::static_lookup::{check_outputs, forward, parse};
use crate::args::{Args, Names};
use crate::batch::Batch;
use crate::element::{Class, Context, Element, Handler, read, read_write, write};
use crate::elements::boxed;
use crate::elements::routes::Routes;
use alloc::boxed::Box;
use alloc::string::String;

/// Routes IP packets by their destination annotation, by a table that can be changed while it runs.
/// The longest prefix wins; packets without a route are dropped. A route with a gateway makes it the destination
/// annotation.
///
/// Arguments: routes `ADDRESS/MASK [GATEWAY] OUTPUT`. Input 0, any number of outputs (push). Handlers: `table` (read), `add`, `set`,
/// `remove`, `flush`, `ctrl` (write), `lookup` (write an address, read the answer).
#[derive(Debug)]
pub struct RadixIPLookup {
    routes: Routes,
    answer: String,
}

/// The class.
pub const CLASS: Class = Class { name: "RadixIPLookup", ports: "1/-", processing: "h/h", keywords: &[], make };

fn make(args: &mut Args<'_>) -> Box<dyn Element> {
    boxed(RadixIPLookup { routes: parse(args), answer: String::new() })
}

impl Element for RadixIPLookup {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        check_outputs(&self.routes, cx)
    }

    fn push(&mut self, cx: &mut Context<'_>, _: usize, batch: Batch) {
        forward(&self.routes, cx, batch);
    }

    fn handlers(&self) -> &'static [Handler] {
        &[
            read("table"),
            read_write("lookup"),
            write("add"),
            write("set"),
            write("remove"),
            write("flush"),
            write("ctrl"),
        ]
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str) -> String {
        if handler == "lookup" { self.answer.clone() } else { self.routes.table() }
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "lookup" => {
                self.answer = self.routes.lookup(value, &Names::default())?;
                Ok(())
            }
            "ctrl" => {
                // Lines of `add ROUTE`, `set ROUTE`, `remove PREFIX`: all of them, or none.
                let mut routes = self.routes.clone();
                for line in value.lines().map(str::trim).filter(|l| !l.is_empty()) {
                    let (what, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
                    if !["add", "set", "remove"].contains(&what) {
                        return Err(alloc::format!("'{what}' is none of add, set, remove"));
                    }
                    routes.write(what, rest, cx.outputs())?;
                }
                self.routes = routes;
                Ok(())
            }
            _ => self.routes.write(handler, value, cx.outputs()),
        }
    }
}
