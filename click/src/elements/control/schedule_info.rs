use crate::args::{Args, Argument, Probability};
use crate::element::{Context, Element};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Tickets of an element that is given a share of 1.
const TICKETS: u64 = 1024;

crate::element! {
    /// Says how much of the time elements get.
    ///
    /// # Arguments
    /// Each: `ELEMENT SHARE`, where 1 is what elements get that are not named.
    ScheduleInfo "0/0" "a/a"
    { shares: Vec<(String, u32)> }
}

/// A share in tickets: a whole number and a fraction.
fn tickets(text: &str, args: &Args<'_>) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction = Probability::parse(&format!("0.{fraction}"), args.names)?.0;
    let tickets = whole.checked_mul(TICKETS)? + ((fraction * TICKETS) >> 32);
    u32::try_from(tickets).ok().filter(|&t| t > 0)
}

impl ScheduleInfo {
    fn new(args: &mut Args<'_>) -> Self {
        let mut shares = Vec::new();
        for word in args.rest() {
            let parts = word.text.split_once(char::is_whitespace);
            match parts.and_then(|(name, share)| Some((name, tickets(share.trim(), args)?))) {
                Some((name, tickets)) => shares.push((name.to_string(), tickets)),
                None => args.error_in(&word, format!("expected 'ELEMENT SHARE', not '{}'", word.text)),
            }
        }
        Self { shares }
    }
}

impl Element for ScheduleInfo {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        for (name, tickets) in &self.shares {
            let id = cx.find(name).ok_or_else(|| format!("no element named '{name}'"))?;
            cx.set_tickets_of(id, *tickets);
        }
        Ok(())
    }
}
