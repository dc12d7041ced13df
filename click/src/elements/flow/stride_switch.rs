use crate::args::{Args, parse_number};
use crate::element::{Context, Element};
use crate::elements::content::distribute;
use crate::packet::Batch;
use alloc::format;
use alloc::vec::Vec;

/// Stride of an output with one ticket.
const STRIDE: u64 = 1 << 16;

crate::element! {
    /// Sends packets out of its outputs in proportion to their tickets (stride scheduling; Waldspurger and Weihl, 1995).
    ///
    /// # Arguments
    /// Tickets, one number from 1 to 65536 for each output.
    StrideSwitch "1/1-" "h/h"
    {
        strides: Vec<u64>,
        /// Whose is the lowest gets the next packet.
        passes: Vec<u64>,
    }
}

impl StrideSwitch {
    fn new(args: &mut Args<'_>) -> Self {
        let mut strides = Vec::new();
        for word in args.rest() {
            match parse_number(&word.text).filter(|n| (1..=STRIDE).contains(n)) {
                Some(tickets) => strides.push(STRIDE / tickets),
                None => args.error_in(&word, format!("expected a number of tickets, not '{}'", word.text)),
            }
        }
        if strides.len() != args.outputs {
            args.error(format!(
                "need {} arguments, one per output port, not {}",
                args.outputs,
                strides.len()
            ));
        }
        Self { passes: strides.clone(), strides }
    }
}

impl Element for StrideSwitch {
    fn push(&mut self, cx: &mut Context<'_>, _: usize, batch: Batch) {
        distribute(cx, batch, |_| {
            let lowest = (0..self.passes.len()).min_by_key(|&o| self.passes[o]).unwrap_or(0);
            let pass = self.passes[lowest];
            self.passes[lowest] = pass + self.strides[lowest];
            if pass > 1 << 60 {
                self.passes.iter_mut().for_each(|p| *p = p.saturating_sub(pass));
            }
            lowest
        });
    }
}
