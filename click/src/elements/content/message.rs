use crate::args::Args;
use crate::element::{Context, Element};
use alloc::format;
use alloc::string::{String, ToString};

crate::element! {
    /// Prints a message when the router starts.
    ///
    /// # Arguments
    /// `MESSAGE`: the message. `TYPE` (MESSAGE): `MESSAGE`; `WARN` or `WARNING`: it is called one; `ERROR`: the router
    /// does not start.
    Message "0/0" "a/a"
    keywords ["MESSAGE", "TYPE"]
    { text: String, kind: Kind }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Message,
    Warning,
    Error,
}

impl Message {
    fn new(args: &mut Args<'_>) -> Self {
        let text = args.required("MESSAGE");
        let kind = match args.next::<String>("TYPE").as_deref() {
            None | Some("MESSAGE") => Kind::Message,
            Some("WARN" | "WARNING") => Kind::Warning,
            Some("ERROR") => Kind::Error,
            Some(other) => {
                args.error(format!("TYPE: expected MESSAGE, WARN or ERROR, not '{other}'"));
                Kind::Message
            }
        };
        Self { text, kind }
    }
}

impl Element for Message {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        match self.kind {
            Kind::Error => return Err(self.text.to_string()),
            Kind::Warning => cx.print(&format!("warning: {}", self.text)),
            Kind::Message => cx.print(&self.text),
        }
        Ok(())
    }
}
