use crate::args::{Args, parse_number};
use crate::element::{Context, Element, read_write};
use crate::packet::Batch;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Stride of an input with one ticket.
const STRIDE: u64 = 1 << 16;

/// Most tickets of an input.
const MOST: u64 = 1 << 15;

crate::element! {
    /// Pulls from its inputs in proportion to their tickets (stride scheduling; Waldspurger and Weihl, 1995).
    ///
    /// # Arguments
    /// Tickets, one number from 1 for each input; more than 32768 count as 32768.
    ///
    /// # Handlers
    /// `tickets0`, `tickets1`, `tickets2`, `tickets3`, `tickets4`, `tickets5`, `tickets6`, `tickets7`: an input's tickets.
    StrideSched "1-/1" "l/l"
    handlers [
        read_write("tickets0"), read_write("tickets1"), read_write("tickets2"), read_write("tickets3"),
        read_write("tickets4"), read_write("tickets5"), read_write("tickets6"), read_write("tickets7"),
    ]
    {
        tickets: Vec<u64>,
        /// Whose is the lowest pulls next.
        passes: Vec<u64>,
        empty: Vec<bool>,
        now: u64,
    }
}

fn tickets(text: &str) -> Result<u64, String> {
    let number = parse_number(text.trim()).filter(|n| *n > 0).map(|n| n.min(MOST));
    number.ok_or_else(|| alloc::format!("expected a number of tickets from 1, not '{text}'"))
}

impl StrideSched {
    fn new(args: &mut Args<'_>) -> Self {
        let words = args.rest();
        if words.len() != args.inputs {
            args.error(alloc::format!(
                "need {} arguments, one per input port, not {}",
                args.inputs,
                words.len()
            ));
        }
        let mut all = Vec::new();
        for (i, word) in words.iter().enumerate() {
            if parse_number(&word.text).is_some_and(|n| n > MOST) {
                args.warn(alloc::format!("input {i}'s tickets reduced to {MOST}"));
            }
            all.push(tickets(&word.text).unwrap_or_else(|message| {
                args.error_in(word, message);
                1
            }));
        }
        all.resize(args.inputs, 1);
        let passes = all.iter().map(|tickets| STRIDE / tickets).collect();
        Self { passes, empty: alloc::vec![false; all.len()], tickets: all, now: 0 }
    }

    fn input(&self, handler: &str) -> Result<usize, String> {
        let number = handler.strip_prefix("tickets").and_then(|n| n.parse().ok());
        number.filter(|&n: &usize| n < self.tickets.len()).ok_or_else(|| "there is no such input".to_string())
    }
}

impl Element for StrideSched {
    fn owns_pull(&self) -> bool {
        true
    }

    fn pull(&mut self, cx: &mut Context<'_>, _: usize, most: usize) -> Batch {
        let mut batch = Batch::new();
        self.empty.fill(false);
        while batch.len() < most {
            // An input that had no packets when its turn came does not get it back later.
            let pass = |i: usize| self.passes[i].max(self.now);
            let next = (0..self.passes.len()).filter(|&i| !self.empty[i]).min_by_key(|&i| pass(i));
            let Some(input) = next else { break };
            let pass = pass(input);
            let one = cx.pull(input, 1);
            if one.is_empty() {
                self.empty[input] = true;
                continue;
            }
            (self.now, self.passes[input]) = (pass, pass + STRIDE / self.tickets[input]);
            batch.append(one);
        }
        batch
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(self.tickets[self.input(handler)?].to_string())
    }

    fn write(&mut self, _: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        let input = self.input(handler)?;
        self.tickets[input] = tickets(value)?;
        Ok(())
    }
}
