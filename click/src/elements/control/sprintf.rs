//! The function `sprintf` of scripts.

use super::number::whole;
use super::value::plain;
use alloc::format;
use alloc::string::{String, ToString};

/// Widest field.
const WIDEST: usize = 1000;

/// How a value is written.
#[derive(Default)]
struct Field {
    left: bool,
    zeros: bool,
    alternate: bool,
    plus: bool,
    blank: bool,
    width: usize,
    precision: Option<usize>,
    /// Bits of the number that count.
    bits: u32,
}

/// The text of a format in which values take the place of `%d`, `%i`, `%u`, `%x`, `%X`, `%o`, `%c`, `%s`: with the flags
/// `-0+# `, a width, a precision, and `h`, `l` or `q` as in C. `*` takes a width or a precision from the values.
pub(super) fn sprintf(words: &[&str]) -> Result<String, String> {
    const SYNTAX: &str = "syntax error";
    let (format, mut values) = words.split_first().map_or(("", &[][..]), |(f, v)| (*f, v));
    let format = plain(format);
    let mut next = || {
        let (first, rest) = values.split_first().ok_or(SYNTAX)?;
        values = rest;
        Ok::<&str, &str>(first)
    };
    let (mut out, mut chars) = (String::new(), format.chars().peekable());
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut field = Field { bits: 64, ..Field::default() };
        while let Some(flag) = chars.next_if(|c| "-0+# ".contains(*c)) {
            match flag {
                '-' => field.left = true,
                '0' => field.zeros = true,
                '+' => field.plus = true,
                '#' => field.alternate = true,
                _ => field.blank = true,
            }
        }
        let mut number = |chars: &mut core::iter::Peekable<core::str::Chars<'_>>| -> Result<i64, String> {
            if chars.next_if_eq(&'*').is_some() {
                return Ok(whole(next()?).ok_or(SYNTAX)?);
            }
            let mut n = 0i64;
            while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                chars.next();
                n = n.saturating_mul(10).saturating_add(digit.into());
            }
            Ok(n)
        };
        let width = number(&mut chars)?;
        field.left |= width < 0;
        field.width = (width.unsigned_abs() as usize).min(WIDEST);
        if chars.next_if_eq(&'.').is_some() {
            let precision = usize::try_from(number(&mut chars)?).map_err(|_| SYNTAX)?;
            field.precision = Some(precision.min(WIDEST));
        }
        while let Some(size) = chars.next_if(|c| "hlLq".contains(*c)) {
            field.bits = if size == 'h' { 16 } else { 64 };
        }
        let text = match chars.next().ok_or(SYNTAX)? {
            '%' => "%".to_string(),
            letter @ ('d' | 'i') => {
                let _ = letter;
                let value = whole(next()?).ok_or(SYNTAX)?;
                field.signed(if field.bits == 16 { i64::from(value as i16) } else { value })
            }
            letter @ ('u' | 'x' | 'X' | 'o') => {
                let value = whole(next()?).ok_or(SYNTAX)? as u64;
                field.unsigned(if field.bits == 16 { value & 0xffff } else { value }, letter)
            }
            'c' => {
                let value = whole(next()?).ok_or(SYNTAX)?;
                let c = u32::try_from(value).ok().and_then(char::from_u32).unwrap_or(' ');
                field.pad("", &c.to_string(), false)
            }
            's' => {
                let text = plain(next()?);
                let shown = match field.precision {
                    Some(most) => text.chars().take(most).collect(),
                    None => text,
                };
                field.pad("", &shown, false)
            }
            _ => return Err(SYNTAX.to_string()),
        };
        out += &text;
    }
    if values.is_empty() { Ok(out) } else { Err(SYNTAX.to_string()) }
}

impl Field {
    fn signed(&self, value: i64) -> String {
        let sign = match (value < 0, self.plus, self.blank) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        };
        self.digits(sign, value.unsigned_abs().to_string(), value == 0)
    }

    fn unsigned(&self, value: u64, letter: char) -> String {
        let (digits, mark) = match letter {
            'x' => (format!("{value:x}"), "0x"),
            'X' => (format!("{value:X}"), "0X"),
            'o' => (format!("{value:o}"), "0"),
            _ => (value.to_string(), ""),
        };
        let mark = if self.alternate && value != 0 { mark } else { "" };
        self.digits(mark, digits, value == 0)
    }

    fn digits(&self, front: &str, digits: String, zero: bool) -> String {
        let digits = match self.precision {
            Some(0) if zero => String::new(),
            Some(least) => format!("{digits:0>least$}"),
            None => digits,
        };
        self.pad(front, &digits, self.zeros && self.precision.is_none())
    }

    fn pad(&self, front: &str, text: &str, zeros: bool) -> String {
        let gap = self.width.saturating_sub(front.len() + text.chars().count());
        match (self.left, zeros) {
            (true, _) => format!("{front}{text}{:gap$}", ""),
            (_, true) => format!("{front}{:0>gap$}{text}", ""),
            _ => format!("{:gap$}{front}{text}", ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_c_writes_them() {
        for (words, text) in [
            (&["\"%.3s|%5s|%-5s|\"", "abcdef", "ab", "ab"][..], "abc|   ab|ab   |"),
            (&["%05d|%+d|%.3d", "-42", "7", "5"], "-0042|+7|005"),
            (&["%#x|%X|%o|%hu", "255", "255", "8", "65537"], "0xff|FF|10|1"),
            (&["%*d|%-*d|", "4", "7", "3", "7"], "   7|7  |"),
            (&["100%%"], "100%"),
        ] {
            assert_eq!(sprintf(words).unwrap(), text, "{words:?}");
        }
        for words in [&["%d"][..], &["%d", "x"], &["%y", "1"], &["%"], &["a", "b"]] {
            assert!(sprintf(words).is_err(), "{words:?}");
        }
        assert!(sprintf(&["%999999999999999999999d", "1"]).unwrap().len() <= 1000);
    }
}
