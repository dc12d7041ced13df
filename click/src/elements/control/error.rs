use crate::args::Args;
use crate::element::{Context, Element};
use alloc::string::{String, ToString};

crate::element! {
    /// Keeps the router from starting, with a message.
    ///
    /// # Arguments
    /// `MESSAGE` ("Error element"): what is said.
    Error "0/0" "a/a"
    keywords ["MESSAGE"]
    { message: String }
}

impl Error {
    fn new(args: &mut Args<'_>) -> Self {
        Self { message: args.next("MESSAGE").unwrap_or_else(|| "Error element".to_string()) }
    }
}

impl Element for Error {
    fn initialize(&mut self, _: &mut Context<'_>) -> Result<(), String> {
        Err(self.message.clone())
    }
}

crate::element! {
    /// Stands for an element that is wrong: it takes any arguments and connections, and keeps the router from starting.
    ErrorElement "-/-" "a/a" {}
}

impl ErrorElement {
    fn new(args: &mut Args<'_>) -> Self {
        args.rest();
        Self {}
    }
}

impl Element for ErrorElement {
    fn initialize(&mut self, _: &mut Context<'_>) -> Result<(), String> {
        Err("ErrorElement cannot be initialized".to_string())
    }
}
