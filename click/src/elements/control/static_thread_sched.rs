use crate::args::Args;
use crate::element::{Context, Element};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

crate::element! {
    /// Says which thread elements run on.
    ///
    /// What pulls from an element, or is pulled from by it, is on the same thread. On a host with one thread, and in guests,
    /// all elements must be there, and what is said of threads is not looked at otherwise.
    ///
    /// # Arguments
    /// Each: `ELEMENT THREAD`, where ELEMENT is one, or a compound element for all that are in it, and THREAD is a number
    /// from 0, or -1 for any.
    StaticThreadSched "0/0" "a/a"
    { elements: Vec<(String, i32)> }
}

impl StaticThreadSched {
    fn new(args: &mut Args<'_>) -> Self {
        let mut elements = Vec::new();
        for word in args.rest() {
            let words: Vec<&str> = word.text.split_whitespace().collect();
            match words[..] {
                [name, thread] if thread.parse::<i32>().is_ok() => {
                    elements.push((name.to_string(), thread.parse().unwrap_or(-1)));
                }
                _ => args.error_in(&word, format!("expected 'ELEMENT THREAD', not '{}'", word.text)),
            }
        }
        Self { elements }
    }
}

impl Element for StaticThreadSched {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        for (name, thread) in &self.elements {
            let within = format!("{name}/");
            let mut named: Vec<usize> = cx.find(name).into_iter().collect();
            named.extend((0..cx.elements()).filter(|&id| cx.name_of(id).starts_with(&within)));
            if named.is_empty() {
                return Err(format!("'{name}' does not name an element"));
            }
            let place = usize::try_from(*thread).ok().filter(|&thread| thread < cx.threads());
            if place.is_none() && *thread != -1 && cx.threads() > 1 {
                cx.warn(format!("thread preference {thread} out of range"));
            }
            for id in named.into_iter().filter(|_| *thread != -1) {
                cx.place_on_thread(id, place.unwrap_or(0));
            }
        }
        Ok(())
    }
}
