//! Patterns of KEYS, SCAN, PSUBSCRIBE and CONFIG GET: `*`, `?`, `[a-z]`, `[^a]`, and `\` before any of them.

/// Whether one character class or character of the pattern takes `byte`, and how long it is in the pattern.
fn step(pattern: &[u8], byte: u8, fold: bool) -> (bool, usize) {
    let same = |a: u8, b: u8| if fold { a.eq_ignore_ascii_case(&b) } else { a == b };
    match pattern {
        [b'?', ..] => (true, 1),
        [b'\\', escaped, ..] => (same(*escaped, byte), 2),
        [b'[', ..] => class(pattern, byte, fold),
        [plain, ..] => (same(*plain, byte), 1),
        [] => (false, 0),
    }
}

fn class(pattern: &[u8], byte: u8, fold: bool) -> (bool, usize) {
    let lower = |b: u8| if fold { b.to_ascii_lowercase() } else { b };
    let byte = lower(byte);
    let mut at = 1;
    let negated = pattern.get(at) == Some(&b'^');
    at += usize::from(negated);
    let mut found = false;
    while at < pattern.len() && pattern[at] != b']' {
        if pattern[at] == b'\\' && at + 1 < pattern.len() {
            at += 1;
            found |= lower(pattern[at]) == byte;
        } else if at + 2 < pattern.len() && pattern[at + 1] == b'-' {
            let (a, b) = (lower(pattern[at]), lower(pattern[at + 2]));
            found |= (a.min(b)..=a.max(b)).contains(&byte);
            at += 2;
        } else {
            found |= lower(pattern[at]) == byte;
        }
        at += 1;
    }
    (found != negated, (at + 1).min(pattern.len()))
}

/// Whether the whole text fits the pattern. Takes at most the product of the two lengths.
pub(crate) fn matches(pattern: &[u8], text: &[u8], fold: bool) -> bool {
    let (mut p, mut t) = (0, 0);
    // Behind the last star: where the pattern goes on, and where the text it has swallowed ends.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            star = Some((p, t));
            continue;
        }
        let (fits, length) = step(&pattern[p..], text[t], fold);
        if fits && length > 0 {
            p += length;
            t += 1;
            continue;
        }
        let Some((after, swallowed)) = star else { return false };
        star = Some((after, swallowed + 1));
        p = after;
        t = swallowed + 1;
    }
    pattern[p..].iter().all(|&b| b == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_take_what_they_should() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h*llo", "heeeello", true),
            ("h[ae]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hallo", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("*a*b*", "xxaxxbxx", true),
            ("[", "[", false),
            ("[abc", "a", true),
            ("foo*bar", "foobarbaz", false),
            ("\\", "\\", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes(), false), fits, "{pattern} {text}");
        }
        assert!(matches(b"FOO*", b"foobar", true));
    }

    #[test]
    fn a_hostile_pattern_takes_no_longer() {
        let text = [b'a'; 10_000];
        let pattern = b"a*".repeat(500);
        assert!(!matches(&[&pattern[..], b"b"].concat(), &text, false));
    }
}
