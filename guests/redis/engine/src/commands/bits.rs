//! Strings as arrays of bits.

use super::strings::with_bytes;
use super::{Call, string_range};
use crate::error::{CommandResult, Error};
use crate::store::Value;
use crate::store::entry::NEVER;
use alloc::vec;
use alloc::vec::Vec;

/// A bit's number: below 2^32.
fn offset(call: &Call<'_>, index: usize) -> Result<usize, Error> {
    let wrong = Error::Text("ERR bit offset is not an integer or out of range");
    match call.int(index) {
        Ok(n) if (0..1 << 32).contains(&n) => Ok(n as usize),
        _ => Err(wrong),
    }
}

pub(crate) fn setbit(call: &mut Call<'_>) -> CommandResult {
    let key = call.arg(1);
    let at = offset(call, 2)?;
    let bit = match call.arg(3) {
        b"0" => 0,
        b"1" => 1,
        _ => return Err(Error::Text("ERR bit is not an integer or out of range")),
    };
    let before = with_bytes(call, key, at / 8 + 1, |bytes| {
        let (byte, shift) = (&mut bytes[at / 8], 7 - at % 8);
        let before = *byte >> shift & 1;
        *byte = *byte & !(1 << shift) | bit << shift;
        before
    })?;
    call.changed(key);
    call.out.integer(before.into());
    Ok(())
}

pub(crate) fn getbit(call: &mut Call<'_>) -> CommandResult {
    let at = offset(call, 2)?;
    let text = call.store.text(call.db, call.args.at(1))?.unwrap_or_default();
    let bit = text.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
    call.out.integer(bit.into());
    Ok(())
}

/// The range of bits that arguments `first` and on name; `None`: nothing.
fn bit_range(
    call: &Call<'_>,
    first: usize,
    length: usize,
    open_end: bool,
) -> Result<Option<core::ops::Range<usize>>, Error> {
    if call.argc() <= first {
        return Ok((length > 0).then_some(0..8 * length));
    }
    let start = call.int(first)?;
    if call.argc() == first + 1 && !open_end {
        return Err(Error::Syntax);
    }
    let end = if call.argc() > first + 1 { call.int(first + 1)? } else { -1 };
    let bits = match call.args.get(first + 2) {
        None => false,
        Some(_) if call.is(first + 2, "BIT") => true,
        Some(_) if call.is(first + 2, "BYTE") => false,
        Some(_) => return Err(Error::Syntax),
    };
    let unit = if bits { 1 } else { 8 };
    let start = if open_end && start < 0 { (8 * length as i64 / unit as i64 + start).max(0) } else { start };
    Ok(string_range(start, end, 8 * length / unit).map(|r| r.start * unit..r.end * unit))
}

fn count_bits(bytes: &[u8], bits: core::ops::Range<usize>) -> u32 {
    let (first, last) = (bits.start / 8, (bits.end - 1) / 8);
    let head = 0xffu8 >> (bits.start % 8);
    let tail = 0xffu8 << (7 - (bits.end - 1) % 8);
    if first == last {
        return (bytes[first] & head & tail).count_ones();
    }
    let middle: u32 = bytes[first + 1..last].iter().map(|b| b.count_ones()).sum();
    middle + (bytes[first] & head).count_ones() + (bytes[last] & tail).count_ones()
}

pub(crate) fn bitcount(call: &mut Call<'_>) -> CommandResult {
    if call.argc() > 5 {
        return Err(Error::Syntax);
    }
    let length = call.store.text(call.db, call.args.at(1))?.map_or(0, <[u8]>::len);
    let bits = bit_range(call, 2, length, false)?;
    let text = call.store.text(call.db, call.args.at(1))?.unwrap_or_default();
    call.out.integer(bits.map_or(0, |bits| count_bits(text, bits)).into());
    Ok(())
}

pub(crate) fn bitpos(call: &mut Call<'_>) -> CommandResult {
    let wanted = match call.arg(2) {
        b"0" => 0,
        b"1" => 1,
        _ => return Err(Error::Text("ERR The bit argument must be 1 or 0.")),
    };
    if call.argc() > 6 {
        return Err(Error::Syntax);
    }
    let there = call.store.text(call.db, call.args.at(1))?.map(<[u8]>::len);
    let Some(length) = there else {
        call.out.integer(if wanted == 1 { -1 } else { 0 });
        return Ok(());
    };
    let bits = bit_range(call, 3, length, true)?;
    let text = call.store.text(call.db, call.args.at(1))?.unwrap_or_default();
    let Some(bits) = bits else {
        call.out.integer(-1);
        return Ok(());
    };
    let skip = if wanted == 1 { 0 } else { 0xff };
    let mut at = bits.start;
    let found = loop {
        if at >= bits.end {
            break None;
        }
        if at.is_multiple_of(8) && text[at / 8] == skip {
            at += 8;
        } else if text[at / 8] >> (7 - at % 8) & 1 == wanted {
            break Some(at);
        } else {
            at += 1;
        }
    };
    call.out.integer(match found {
        Some(at) => at as i64,
        // Beyond the end, if no end was given, there are zeros.
        None if wanted == 0 && call.argc() <= 4 => 8 * length as i64,
        None => -1,
    });
    Ok(())
}

pub(crate) fn bitop(call: &mut Call<'_>) -> CommandResult {
    let target = call.arg(2);
    let (and, or, xor) = (call.is(1, "AND"), call.is(1, "OR"), call.is(1, "XOR"));
    if !and && !or && !xor && !call.is(1, "NOT") {
        return Err(Error::Syntax);
    }
    let not = !and && !or && !xor;
    if not && call.argc() != 4 {
        return Err(Error::Text("ERR BITOP NOT must be called with a single source key."));
    }
    let mut length = 0;
    for key in call.args.from(3) {
        length = call.store.text(call.db, key)?.map_or(0, <[u8]>::len).max(length);
    }
    if length == 0 {
        call.store.delete(call.db, target);
        call.out.integer(0);
        return Ok(());
    }
    call.ensure_memory(2 * length)?;
    let mut result: Vec<u8> = vec![0; length];
    for (i, key) in call.args.from(3).enumerate() {
        let text = call.store.text(call.db, key)?.unwrap_or_default();
        for (at, to) in result.iter_mut().enumerate() {
            let byte = text.get(at).copied().unwrap_or(0);
            *to = match i {
                0 if not => !byte,
                0 => byte,
                _ if and => *to & byte,
                _ if or => *to | byte,
                _ => *to ^ byte,
            };
        }
    }
    call.store.put(call.db, target, Value::String(result), NEVER);
    call.changed(target);
    call.out.integer(length as i64);
    Ok(())
}
