//! Where elements that print packets print them.

use crate::args::Args;
use crate::element::Context;
use alloc::format;
use alloc::string::String;

/// The argument `OUTFILE`: a file, otherwise messages.
pub(crate) struct Printer {
    file: Option<String>,
    /// The file has lines of this router.
    begun: bool,
}

impl Printer {
    pub(crate) fn new(args: &mut Args<'_>) -> Self {
        Self { file: args.key("OUTFILE"), begun: false }
    }

    /// Makes the file, once.
    pub(crate) fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        let Some(file) = self.file.as_deref().filter(|_| !self.begun) else { return Ok(()) };
        self.begun = true;
        match cx.host.outside() {
            Some(_) if file == "-" => Ok(()),
            Some(outside) => outside.write_file(file, false, ""),
            None => Err("OUTFILE: files need a host, and cannot be used in a guest".into()),
        }
    }

    /// Prints a line.
    pub(crate) fn print(&self, cx: &mut Context<'_>, line: &str) {
        let Some(file) = self.file.as_deref() else { return cx.print(line) };
        let line = format!("{line}\n");
        let written = match cx.host.outside() {
            Some(outside) if file == "-" => {
                outside.write_out(&line);
                Ok(())
            }
            Some(outside) => outside.write_file(file, true, &line),
            None => Ok(()),
        };
        if let Err(message) = written {
            cx.print(&format!("{}: {message}", cx.name()));
        }
    }
}
