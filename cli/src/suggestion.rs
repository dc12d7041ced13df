//! "Did you mean": what is most like a word that is not known.

/// How alike two words have to be, between 0 and 1 (Jaro-Winkler).
const ALIKE: f64 = 0.8;

/// The next step for a word that is none of `known`, if one of those is like it.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let likeness = |known: &str| strsim::jaro_winkler(&word.to_lowercase(), &known.to_lowercase());
    let alike = known.into_iter().map(|known| (likeness(known), known)).filter(|(like, _)| *like >= ALIKE);
    let (_, best) = alike.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    Some(format!("did you mean {best}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_understood_and_another_word_is_not() {
        let known = ["clickos", "hello", "redis"];
        for (word, meant) in [
            ("clikcos", Some("did you mean clickos?")),
            ("Redis", Some("did you mean redis?")),
            ("helo", Some("did you mean hello?")),
            ("netpipe", None),
        ] {
            assert_eq!(did_you_mean(word, known).as_deref(), meant, "{word}");
        }
    }
}
