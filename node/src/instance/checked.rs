//! Configurations that were checked and found right, by a digest of all that the check depends on: the next instance with the
//! same one is not checked again.

use api::instance::InstanceSpec;
use click::Addressed;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Digests that are kept, the last used.
const KEPT: usize = 64;

/// Digests, the last used first.
#[derive(Default)]
pub struct CheckedConfigs(Mutex<VecDeque<[u8; 32]>>);

/// A digest of a configuration, the variables, and which devices have addresses.
pub fn digest(text: &str, spec: &InstanceSpec, addressed: &[Addressed]) -> [u8; 32] {
    let mut hash = Sha256::new();
    // Lengths before texts: no two that differ give the same bytes.
    let mut add = |bytes: &[u8]| {
        hash.update(bytes.len().to_le_bytes());
        hash.update(bytes);
    };
    add(text.as_bytes());
    for (name, value) in &spec.variables {
        add(name.as_bytes());
        add(value.as_bytes());
    }
    add(&addressed.iter().flat_map(|has| [has.ipv4.into(), has.ipv6.into()]).collect::<Vec<u8>>());
    hash.finalize().into()
}

impl CheckedConfigs {
    /// Whether one was found right.
    pub fn knows(&self, digest: &[u8; 32]) -> bool {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = kept.iter().position(|d| d == digest) else { return false };
        if let Some(found) = kept.remove(at) {
            kept.push_front(found);
        }
        true
    }

    /// One was found right.
    pub fn add(&self, digest: [u8; 32]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_front(digest);
        kept.truncate(KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_check_depends_on_is_in_its_digest() {
        let spec = |variables: &[(&str, &str)]| InstanceSpec {
            variables: variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            ..serde_json::from_str("{}").unwrap()
        };
        let both = Addressed { ipv4: true, ipv6: true };
        let all = [
            digest("a", &spec(&[]), &[both]),
            digest("b", &spec(&[]), &[both]),
            digest("a", &spec(&[]), &[Addressed::default()]),
            digest("a", &spec(&[]), &[Addressed { ipv6: false, ..both }]),
            digest("a", &spec(&[]), &[both, both]),
            digest("a", &spec(&[("x", "yz")]), &[both]),
            digest("a", &spec(&[("xy", "z")]), &[both]),
        ];
        let checked = CheckedConfigs::default();
        for d in all {
            assert!(!checked.knows(&d));
            checked.add(d);
        }
        assert!(all.iter().all(|d| checked.knows(d)));
        (0..=255).for_each(|n| checked.add([n; 32]));
        assert!(!checked.knows(&all[0]));
    }
}
