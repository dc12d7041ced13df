use crate::args::{Args, Word};
use crate::decision::{Base, Condition, NOWHERE, Places, Program, Relation, Test};
use crate::element::{Context, Element, read};
use crate::packet::Batch;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

crate::element! {
    /// Sends each packet out of the output of the first pattern that it matches.
    ///
    /// # Arguments
    /// One pattern for each output: clauses `OFFSET/DATA` or `OFFSET/DATA%MASK`, all of which must hold. DATA and MASK
    /// are hexadecimal, `?` stands for any digit; `!` in front of a clause means the opposite. `-` matches all packets.
    /// Packets without a pattern are dropped.
    ///
    /// # Handlers
    /// `program`: what the patterns were compiled to.
    Classifier "1/-" "h/h"
    handlers [read("program")]
    { program: Program }
}

impl Classifier {
    fn new(args: &mut Args<'_>) -> Self {
        let patterns = args.rest();
        let mut rules = Vec::with_capacity(patterns.len());
        for (output, word) in patterns.iter().enumerate() {
            match pattern(&word.text) {
                Ok(condition) => rules.push((condition, output)),
                Err(message) => args.error_in(word, message),
            }
        }
        one_each(args, &patterns);
        let program = Program::new(&rules);
        warn_of_unused(args, &program);
        Self { program }
    }
}

/// Classifiers need as many patterns as outputs are used.
pub(crate) fn one_each(args: &mut Args<'_>, patterns: &[Word]) {
    let outputs = args.outputs;
    if patterns.len() != outputs {
        args.error(format!("need {outputs} arguments, one per output port, not {}", patterns.len()));
    }
}

/// Warns of outputs that no packet is sent to.
pub(crate) fn warn_of_unused(args: &mut Args<'_>, program: &Program) {
    let used = program.outputs();
    for output in (0..args.outputs).filter(|output| !used.contains(output)) {
        args.warn(format!("output {output} matches no packets"));
    }
}

/// `12/0806 20/0001`
fn pattern(text: &str) -> Result<Condition, String> {
    if text.trim() == "-" {
        return Ok(Condition::Constant(true));
    }
    let mut clauses = Vec::new();
    let mut opposite = false;
    for mut word in text.split_whitespace() {
        while let Some(rest) = word.strip_prefix('!') {
            (opposite, word) = (!opposite, rest);
        }
        if word.is_empty() {
            continue;
        }
        let clause = clause(word)?;
        clauses.push(if core::mem::take(&mut opposite) { Condition::Not(clause.into()) } else { clause });
    }
    if clauses.is_empty() || opposite {
        return Err(format!("bad pattern '{text}'"));
    }
    Ok(Condition::All(clauses))
}

/// `OFFSET/DATA%MASK`
fn clause(word: &str) -> Result<Condition, String> {
    let bad = |what: &str| format!("bad pattern '{word}': {what}");
    let (offset, rest) = word.split_once('/').ok_or_else(|| bad("expected OFFSET/DATA"))?;
    let offset: usize =
        offset.parse().ok().filter(|&o| o < 60_000).ok_or_else(|| bad("expected an offset"))?;
    let (data, mask) = match rest.split_once('%') {
        Some((data, mask)) => (data, Some(mask)),
        None => (rest, None),
    };
    let data = digits(data).ok_or_else(|| bad("expected hexadecimal digits in pairs"))?;
    let mut mask_bytes: Vec<u8> = data.iter().map(|d| d.1).collect();
    if let Some(mask) = mask {
        let mask = digits(mask)
            .filter(|m| m.len() == data.len())
            .ok_or_else(|| bad("the mask must be as long as the data"))?;
        mask_bytes.iter_mut().zip(mask).for_each(|(m, (value, known))| *m &= value & known);
    }
    // Words of four bytes, aligned as packets are, so that patterns about the same bytes share tests.
    let mut tests = Vec::new();
    let mut at = offset & !3;
    while at < offset + data.len() {
        let (mut value, mut bits) = ([0u8; 4], [0u8; 4]);
        for i in 0..4 {
            if let Some(n) = (at + i).checked_sub(offset).filter(|&n| n < data.len()) {
                (value[i], bits[i]) = (data[n].0 & mask_bytes[n], mask_bytes[n]);
            }
        }
        tests.push(Condition::Test(Test {
            base: Base::Data,
            offset: at as u16,
            mask: u32::from_be_bytes(bits),
            relation: Relation::Equal,
            value: u32::from_be_bytes(value),
        }));
        at += 4;
    }
    Ok(Condition::All(tests))
}

/// Bytes and which of their bits are known.
fn digits(text: &str) -> Option<Vec<(u8, u8)>> {
    if text.is_empty() || text.len() % 2 == 1 {
        return None;
    }
    let digit = |c: u8| match c {
        b'?' => Some((0, 0)),
        c => (c as char).to_digit(16).map(|d| (d as u8, 15)),
    };
    text.as_bytes()
        .chunks(2)
        .map(|pair| {
            let ((a, b), (c, d)) = (digit(pair[0])?, digit(pair[1])?);
            Some((a << 4 | c, b << 4 | d))
        })
        .collect()
}

/// Packets on their way to outputs: neighbours that go to the same one leave together.
pub(crate) struct Runs {
    run: Batch,
    output: usize,
}

impl Runs {
    pub(crate) fn new() -> Self {
        Self { run: Batch::new(), output: NOWHERE }
    }

    /// Adds a packet for an output; those for an output that is not there are dropped.
    #[inline]
    pub(crate) fn add(&mut self, cx: &mut Context<'_>, output: usize, packet: crate::packet::Packet) {
        if output != self.output {
            cx.output(self.output, core::mem::take(&mut self.run));
            self.output = output;
        }
        self.run.push(packet);
    }

    /// Sends the last ones.
    #[inline]
    pub(crate) fn finish(self, cx: &mut Context<'_>) {
        cx.output(self.output, self.run);
    }
}

/// Pushes each packet out of the output that `decide` names.
#[inline]
pub(crate) fn distribute(
    cx: &mut Context<'_>,
    batch: Batch,
    decide: impl FnMut(&mut crate::packet::Packet) -> usize,
) {
    batch.runs(decide, |output, run| cx.output(output, run));
}

impl Element for Classifier {
    fn push(&mut self, cx: &mut Context<'_>, _: usize, batch: Batch) {
        distribute(cx, batch, |packet| self.program.decide(packet.data(), &Places::DATA));
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.program.describe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(text: &str, data: &[u8]) -> bool {
        Program::new(&[(pattern(text).unwrap(), 0)]).decide(data, &Places::DATA) == 0
    }

    #[test]
    fn patterns_have_masks_wildcards_and_opposites() {
        let data = [0x08, 0x06, 0x12, 0x34, 0x56, 0x78];
        assert!(matches("0/0806", &data) && matches("-", &data));
        assert!(matches("2/1?3? 4/00%00", &data) && !matches("2/13", &data));
        assert!(matches("!2/13 1/06123456", &data) && matches("3/3F%F0 ! 0/09", &data));
        assert!(!matches("5/7800", &data), "what is not there does not match");
        for bad in ["", "x/00", "0/0", "0/00%0", "!", "0/zz"] {
            assert!(pattern(bad).is_err(), "{bad}");
        }
    }
}
