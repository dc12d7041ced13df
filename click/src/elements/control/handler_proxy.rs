use crate::args::Args;
use crate::element::{Context, Element, read_write};
use alloc::string::{String, ToString};

crate::element! {
    /// Passes handlers on: its handler `ELEMENT.HANDLER` is that of the router.
    ///
    /// A `ControlSocket` with this as its `PROXY` reaches nothing else.
    ///
    /// # Handlers
    /// `*`: all handlers of all elements, and those of the router.
    HandlerProxy "0/0" "a/a"
    handlers [read_write("*")]
    {}
}

impl HandlerProxy {
    fn new(_: &mut Args<'_>) -> Self {
        Self {}
    }
}

impl Element for HandlerProxy {
    fn read(&mut self, cx: &mut Context<'_>, handler: &str, argument: &str) -> Result<String, String> {
        cx.read_handler(&(handler.to_string() + " " + argument)).map_err(|e| e.to_string())
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        cx.write_handler(handler, value).map_err(|e| e.to_string())
    }
}
