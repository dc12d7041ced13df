//! Selection (6.4.14): of all links of a bond, those with the same partner that can be aggregated belong together. Where
//! there are several such groups, the largest carries the packets, and the others stand by.

use super::{Link, Receive, Selection};
use crate::headers::Mac;
use crate::headers::lacp::state;
use std::collections::BTreeMap;

/// Links with the same identity can be aggregated: the partner's priority, system and key, and, for links that say that
/// they stand alone, which one it is.
type Group = (u16, Mac, u16, Option<u16>);

fn group_of(link: &Link) -> Option<Group> {
    let known = link.up && matches!(link.receive, Receive::Current | Receive::Expired);
    if !known || link.actor.has(state::DEFAULTED) {
        return None;
    }
    let p = &link.partner;
    let alone = (!p.has(state::AGGREGATION)).then_some(p.port);
    Some((p.system_priority, p.system, p.key, alone))
}

/// Selects among all links of a bond. The group that carries packets now stays unless another has more links; of equal
/// ones, a link that says that it stands alone does not take the place of an aggregate.
pub fn select(links: &mut [Link]) {
    let mut sizes: BTreeMap<Group, (usize, usize)> = BTreeMap::new();
    for link in links.iter() {
        if let Some(group) = group_of(link) {
            let size = sizes.entry(group).or_default();
            size.0 += 1;
            size.1 += usize::from(link.distributes());
        }
    }
    let best = sizes.iter().max_by_key(|(group, size)| (**size, group.3.is_none())).map(|(group, _)| *group);
    for link in links {
        link.selection = match group_of(link) {
            None => Selection::Unselected,
            group if group == best => Selection::Selected,
            Some(_) => Selection::Standby,
        };
    }
}
