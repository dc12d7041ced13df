//! BITFIELD: integers of any width within a string.

use super::Call;
use super::strings::with_bytes;
use crate::error::{CommandResult, Error};
use alloc::vec::Vec;

#[derive(Clone, Copy)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

#[derive(Clone, Copy)]
enum Action {
    Get,
    Set(i64, Overflow),
    Add(i64, Overflow),
}

#[derive(Clone, Copy)]
struct Step {
    signed: bool,
    bits: u32,
    offset: u64,
    action: Action,
}

fn kind(text: &[u8]) -> Result<(bool, u32), Error> {
    let wrong = Error::Text(
        "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
    );
    let (signed, digits) = match text {
        [b'i' | b'I', rest @ ..] => (true, rest),
        [b'u' | b'U', rest @ ..] => (false, rest),
        _ => return Err(wrong),
    };
    match crate::number::parse_i64(digits) {
        Some(n @ 1..=64) if signed || n <= 63 => Ok((signed, n as u32)),
        _ => Err(wrong),
    }
}

fn place(text: &[u8], bits: u32) -> Result<u64, Error> {
    let wrong = Error::Text("ERR bit offset is not an integer or out of range");
    let (digits, unit) = match text {
        [b'#', rest @ ..] => (rest, i64::from(bits)),
        _ => (text, 1),
    };
    let at = crate::number::parse_i64(digits).and_then(|n| n.checked_mul(unit));
    at.filter(|n| (0..(1 << 32) - i64::from(bits)).contains(n)).map(|n| n as u64).ok_or(wrong)
}

fn steps(call: &Call<'_>, read_only: bool) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    let mut overflow = Overflow::Wrap;
    let mut at = 2;
    while at < call.argc() {
        if call.is(at, "OVERFLOW") && at + 1 < call.argc() {
            overflow = match () {
                () if call.is(at + 1, "WRAP") => Overflow::Wrap,
                () if call.is(at + 1, "SAT") => Overflow::Saturate,
                () if call.is(at + 1, "FAIL") => Overflow::Fail,
                () => return Err(Error::Text("ERR Invalid OVERFLOW type specified")),
            };
            at += 2;
            continue;
        }
        let (get, set, incr) = (call.is(at, "GET"), call.is(at, "SET"), call.is(at, "INCRBY"));
        let words = if get { 3 } else { 4 };
        if !(get || set || incr) || at + words > call.argc() {
            return Err(Error::Syntax);
        }
        if read_only && !get {
            return Err(Error::Text("ERR BITFIELD_RO only supports the GET subcommand"));
        }
        let (signed, bits) = kind(call.arg(at + 1))?;
        let offset = place(call.arg(at + 2), bits)?;
        let action = match (get, set) {
            (true, _) => Action::Get,
            (_, true) => Action::Set(call.int(at + 3)?, overflow),
            _ => Action::Add(call.int(at + 3)?, overflow),
        };
        steps.push(Step { signed, bits, offset, action });
        at += words;
    }
    Ok(steps)
}

impl Step {
    fn load(self, bytes: &[u8]) -> i64 {
        let mut value: u64 = 0;
        for at in self.offset..self.offset + u64::from(self.bits) {
            let bit = bytes.get((at / 8) as usize).map_or(0, |byte| byte >> (7 - at % 8) & 1);
            value = value << 1 | u64::from(bit);
        }
        let unused = 64 - self.bits;
        if self.signed { (value << unused) as i64 >> unused } else { value as i64 }
    }

    fn store(self, bytes: &mut [u8], value: i64) {
        for i in 0..self.bits {
            let at = self.offset + u64::from(i);
            let bit = (value >> (self.bits - 1 - i) & 1) as u8;
            let (byte, shift) = (&mut bytes[(at / 8) as usize], 7 - at % 8);
            *byte = *byte & !(1 << shift) | bit << shift;
        }
    }

    /// A value within the field's width, by the rule for what is not; `None`: refused.
    fn fit(self, value: i128, overflow: Overflow) -> Option<i64> {
        let (least, most) = match self.signed {
            true => (-(1i128 << (self.bits - 1)), (1i128 << (self.bits - 1)) - 1),
            false => (0, (1i128 << self.bits) - 1),
        };
        if (least..=most).contains(&value) {
            return Some(value as i64);
        }
        match overflow {
            Overflow::Fail => None,
            Overflow::Saturate => Some(value.clamp(least, most) as i64),
            Overflow::Wrap => {
                let unused = 64 - self.bits;
                let low = value as u64;
                Some(if self.signed {
                    (low << unused) as i64 >> unused
                } else {
                    (low << unused >> unused) as i64
                })
            }
        }
    }
}

fn run(call: &mut Call<'_>, read_only: bool) -> CommandResult {
    let key = call.arg(1);
    let steps = steps(call, read_only)?;
    let writes = steps.iter().filter(|s| !matches!(s.action, Action::Get));
    let least = writes.map(|s| (s.offset + u64::from(s.bits)).div_ceil(8) as usize).max();
    let mut results: Vec<Option<i64>> = Vec::with_capacity(steps.len());
    match least {
        None => {
            let text = call.store.text(call.db, key)?.unwrap_or_default();
            results.extend(steps.iter().map(|step| Some(step.load(text))));
        }
        Some(least) => {
            with_bytes(call, key, least, |bytes| {
                for step in &steps {
                    let before = step.load(bytes);
                    results.push(match step.action {
                        Action::Get => Some(before),
                        Action::Set(value, overflow) => {
                            let value = if step.signed { value.into() } else { i128::from(value as u64) };
                            let after = step.fit(value, overflow);
                            if let Some(after) = after {
                                step.store(bytes, after);
                            }
                            after.map(|_| before)
                        }
                        Action::Add(amount, overflow) => {
                            let after = step.fit(i128::from(before) + i128::from(amount), overflow);
                            if let Some(after) = after {
                                step.store(bytes, after);
                            }
                            after
                        }
                    });
                }
            })?;
            call.changed(key);
        }
    }
    call.out.array(results.len());
    for result in results {
        match result {
            Some(value) => call.out.integer(value),
            None => call.out.null(),
        }
    }
    Ok(())
}

pub(crate) fn bitfield(call: &mut Call<'_>) -> CommandResult {
    run(call, false)
}

pub(crate) fn bitfield_ro(call: &mut Call<'_>) -> CommandResult {
    run(call, true)
}
