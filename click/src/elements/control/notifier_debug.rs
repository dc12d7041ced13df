use crate::args::Args;
use crate::element::{Context, Element, read};
use alloc::format;
use alloc::string::String;

crate::element! {
    /// Passes packets on, and tells whether queues upstream have any.
    ///
    /// # Handlers
    /// `signal`: for each queue upstream its name, and `active` or `inactive`.
    NotifierDebug "1/1" "a/a"
    handlers [read("signal")]
    {}
}

impl NotifierDebug {
    fn new(_: &mut Args<'_>) -> Self {
        Self {}
    }
}

impl Element for NotifierDebug {
    fn read(&mut self, cx: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        let mut out = String::new();
        for id in cx.find_nearest(false, |e| e.stored().is_some()) {
            let some = cx.element(id).and_then(|e| e.stored()).is_some_and(|n| n > 0);
            out += &format!("{} {}\n", cx.name_of(id), if some { "active" } else { "inactive" });
        }
        Ok(out)
    }
}
