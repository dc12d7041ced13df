use super::expression::parse;
use super::ip_filter::decide;
use crate::args::Args;
use crate::decision::{Condition, Program};
use crate::element::{Context, Element, read};
use crate::elements::content::{distribute, one_each};
use crate::packet::Batch;
use alloc::string::String;
use alloc::vec::Vec;

crate::element! {
    /// Sends each IP packet out of the output of the first expression that holds for it.
    ///
    /// The header is found by the IP header annotation. Packets for which none holds are dropped.
    ///
    /// # Arguments
    /// One expression for each output, as in `IPFilter`; `-` holds for all packets.
    ///
    /// # Handlers
    /// `program`: what the expressions were compiled to.
    IPClassifier "1/-" "h/h"
    handlers [read("program")]
    { program: Program }
}

impl IPClassifier {
    fn new(args: &mut Args<'_>) -> Self {
        let patterns = args.rest();
        let mut rules: Vec<(Condition, usize)> = Vec::with_capacity(patterns.len());
        for (output, word) in patterns.iter().enumerate() {
            match parse(&word.text, args.names) {
                Ok(condition) => rules.push((condition, output)),
                Err(message) => args.error_in(word, alloc::format!("pattern {output}: {message}")),
            }
        }
        one_each(args, &patterns);
        Self { program: Program::new(&rules) }
    }
}

impl Element for IPClassifier {
    fn push(&mut self, cx: &mut Context<'_>, _: usize, batch: Batch) {
        distribute(cx, batch, |packet| decide(&self.program, packet));
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.program.describe())
    }
}
