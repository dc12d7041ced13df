use crate::args::Args;
use crate::element::{Context, Element};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

crate::element! {
    /// Says which thread elements run on.
    ///
    /// A router runs on one thread: all elements must be there, and what is said of threads is not looked at otherwise.
    ///
    /// # Arguments
    /// Each: `ELEMENT THREAD`, where ELEMENT is one, or a compound element for all that are in it, and THREAD is a number
    /// from -1.
    StaticThreadSched "0/0" "a/a"
    { elements: Vec<String> }
}

impl StaticThreadSched {
    fn new(args: &mut Args<'_>) -> Self {
        let mut elements = Vec::new();
        for word in args.rest() {
            let words: Vec<&str> = word.text.split_whitespace().collect();
            match words[..] {
                [name, thread] if thread.parse::<i32>().is_ok_and(|n| n >= -1) => {
                    elements.push(name.to_string())
                }
                _ => args.error_in(&word, format!("expected 'ELEMENT THREAD', not '{}'", word.text)),
            }
        }
        Self { elements }
    }
}

impl Element for StaticThreadSched {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        for name in &self.elements {
            let within = format!("{name}/");
            let compound = || (0..cx.elements()).any(|id| cx.name_of(id).starts_with(&within));
            if cx.find(name).is_none() && !compound() {
                return Err(format!("'{name}' does not name an element"));
            }
        }
        Ok(())
    }
}
