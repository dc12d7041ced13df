use super::expression::parse;
use super::ip_filter::decide;
use crate::args::Args;
use crate::decision::{Condition, Program};
use crate::element::{Context, Element, read, read_write};
use crate::elements::content::{distribute, one_each, warn_of_unused};
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
    /// `program`: what the expressions were compiled to. `pattern0`, `pattern1`, `pattern2`, `pattern3`, `pattern4`,
    /// `pattern5`, `pattern6`, `pattern7`: the expression of an output.
    IPClassifier "1/-" "h/h"
    handlers [
        read("program"), read_write("pattern0"), read_write("pattern1"), read_write("pattern2"),
        read_write("pattern3"), read_write("pattern4"), read_write("pattern5"), read_write("pattern6"),
        read_write("pattern7"),
    ]
    { rules: Vec<(Condition, usize)>, texts: Vec<String>, program: Program }
}

impl IPClassifier {
    fn new(args: &mut Args<'_>) -> Self {
        let patterns = args.rest();
        let mut rules: Vec<(Condition, usize)> = Vec::with_capacity(patterns.len());
        let mut warnings = Vec::new();
        for (output, word) in patterns.iter().enumerate() {
            let mut warn = |message| warnings.push(alloc::format!("pattern {output}: {message}"));
            match parse(&word.text, args.names, &mut warn) {
                Ok(condition) => rules.push((condition, output)),
                Err(message) => args.error_in(word, alloc::format!("pattern {output}: {message}")),
            }
        }
        warnings.into_iter().for_each(|message: String| args.warn(message));
        one_each(args, &patterns);
        let texts = patterns.into_iter().map(|word| word.text).collect();
        let program = Program::new(&rules);
        warn_of_unused(args, &program);
        Self { program, rules, texts }
    }

    /// The output of a handler.
    fn output(&self, handler: &str) -> Result<usize, String> {
        let number = handler.strip_prefix("pattern").and_then(|n| n.parse().ok());
        number.filter(|&n: &usize| n < self.rules.len()).ok_or_else(|| "there is no such output".into())
    }
}

impl Element for IPClassifier {
    fn push(&mut self, cx: &mut Context<'_>, _: usize, batch: Batch) {
        distribute(cx, batch, |packet| decide(&self.program, packet));
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        if handler == "program" {
            return Ok(self.program.describe());
        }
        Ok(self.texts[self.output(handler)?].clone())
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        let output = self.output(handler)?;
        self.rules[output].0 = parse(value, cx.names(), &mut drop)?;
        self.texts[output] = value.into();
        self.program = Program::new(&self.rules);
        Ok(())
    }
}
