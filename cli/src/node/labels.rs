//! Labels of instances, and which instances a selector means.

use std::collections::BTreeMap;
use std::str::FromStr;

/// A label that instances shall have: its name, and its value unless any will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    name: String,
    value: Option<String>,
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        match name {
            "" => Err("use NAME=VALUE, or NAME for any value".into()),
            name => Ok(Self { name: name.into(), value }),
        }
    }
}

/// Whether all selectors mean an instance with these labels.
pub fn select(selectors: &[Selector], labels: &BTreeMap<String, String>) -> bool {
    selectors.iter().all(|selector| match (labels.get(&selector.name), &selector.value) {
        (Some(value), Some(wanted)) => value == wanted,
        (found, None) => found.is_some(),
        (None, Some(_)) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_selectors_have_to_fit() {
        let labels =
            BTreeMap::from([("app".to_owned(), "fw".to_owned()), ("tier".to_owned(), "edge".to_owned())]);
        let means = |words: &[&str]| {
            let selectors: Vec<Selector> = words.iter().map(|word| word.parse().unwrap()).collect();
            select(&selectors, &labels)
        };
        assert!(means(&[]) && means(&["app=fw"]) && means(&["app=fw", "tier"]));
        assert!(!means(&["app=nat"]) && !means(&["app=fw", "zone"]) && !means(&["app="]));
        assert!("=fw".parse::<Selector>().is_err());
    }
}
