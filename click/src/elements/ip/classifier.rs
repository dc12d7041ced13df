use super::filter::{compile, run};
use crate::args::Args;
use crate::batch::Batch;
use crate::element::{Class, Context, Element, Handler, read};
use crate::elements::boxed;
use crate::elements::content::classifier::outputs_for;
use crate::elements::expression::Program;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Sorts IP packets: output *i* for the first expression *i* that holds; what none decides is dropped.
///
/// Arguments: an expression of IPFilter's language for each output; `-` holds always. Needs the network header annotation
/// (CheckIPHeader or MarkIPHeader). Input 0, an output an expression (push). Handlers: `program` (read).
#[derive(Debug)]
pub struct IPClassifier {
    program: Program,
    patterns: usize,
}

/// The class.
pub const CLASS: Class = Class { name: "IPClassifier", ports: "1/-", processing: "h/h", keywords: &[], make };

fn make(args: &mut Args<'_>) -> Box<dyn Element> {
    let texts = args.rest();
    let expressions: Vec<(&str, usize)> = texts.iter().enumerate().map(|(i, t)| (t.as_str(), i)).collect();
    if expressions.is_empty() {
        args.error("missing mandatory pattern argument");
    }
    boxed(IPClassifier { program: compile(args, &expressions), patterns: expressions.len() })
}

impl Element for IPClassifier {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        outputs_for(cx, self.patterns)
    }

    fn push(&mut self, cx: &mut Context<'_>, _: usize, batch: Batch) {
        let outputs = cx.outputs();
        run(&self.program, cx, batch, |answer| Some(answer).filter(|&a| a < outputs));
    }

    fn handlers(&self) -> &'static [Handler] {
        &[read("program")]
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str) -> String {
        self.program.to_string()
    }
}
