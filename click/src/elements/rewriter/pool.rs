//! Rewriters that share one capacity: what makes room in one may be in another.

use super::table::Table;
use super::translation::Rewriter;
use crate::element::{Context, Nanos};
use alloc::vec::Vec;

/// The tables of rewriters that share a capacity.
pub(super) struct Pool<'a> {
    /// That of the element at work, which cannot be reached as others are.
    own: Option<(usize, &'a mut Table)>,
    members: Vec<usize>,
    pub(super) capacity: usize,
}

impl<'a> Pool<'a> {
    /// The pool of an element's rewriter; `own`: the rewriter, if that element is at work. `None`: it shares nothing.
    pub(super) fn of(cx: &mut Context<'_>, id: usize, own: Option<&'a mut Rewriter>) -> Option<Self> {
        let root = match &own {
            Some(own) => own.root(id),
            None => super::rewriter(cx, id)?.root(id),
        }?;
        let of_root = |rewriter: &Rewriter| (rewriter.table.capacity, rewriter.sharers.clone());
        let (capacity, mut members) = match &own {
            Some(own) if root == id => of_root(own),
            _ => of_root(super::rewriter(cx, root)?),
        };
        members.push(root);
        Some(Self { own: own.map(|own| (id, &mut own.table)), members, capacity })
    }

    fn table<'t>(&'t mut self, cx: &'t mut Context<'_>, id: usize) -> Option<&'t mut Table> {
        match &mut self.own {
            Some((own, table)) if *own == id => Some(table),
            _ => super::rewriter(cx, id).map(|r| &mut r.table),
        }
    }

    /// Flows of all.
    pub(super) fn len(&mut self, cx: &mut Context<'_>) -> usize {
        (0..self.members.len()).map(|i| self.table(cx, self.members[i]).map_or(0, |t| t.len())).sum()
    }

    /// Removes the flow that would be forgotten first, if that is by `before`.
    fn remove_first(&mut self, cx: &mut Context<'_>, now: Nanos, before: (bool, Nanos)) -> bool {
        let mut first: Option<((bool, Nanos), usize, u32)> = None;
        for i in 0..self.members.len() {
            let id = self.members[i];
            if let Some((due, number)) = self.table(cx, id).and_then(|t| t.first(now))
                && first.is_none_or(|(least, ..)| due < least)
            {
                first = Some((due, id, number));
            }
        }
        match first.filter(|(due, ..)| *due <= before) {
            Some((_, id, number)) => {
                self.table(cx, id).into_iter().for_each(|t| t.remove(number));
                true
            }
            None => false,
        }
    }

    /// Makes room for a flow that would be forgotten at `claim`, unless all others are guaranteed.
    pub(super) fn make_room(&mut self, cx: &mut Context<'_>, now: Nanos, claim: (bool, Nanos)) -> bool {
        let before = if claim.0 { (false, Nanos::MAX) } else { claim };
        self.len(cx) < self.capacity || (self.remove_first(cx, now, before) && self.len(cx) < self.capacity)
    }

    /// Forgets what is beyond the capacity.
    pub(super) fn shrink(&mut self, cx: &mut Context<'_>, now: Nanos) {
        while self.len(cx) > self.capacity && self.remove_first(cx, now, (true, Nanos::MAX)) {}
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self, cx: &mut Context<'_>) {
        for i in 0..self.members.len() {
            self.table(cx, self.members[i]).into_iter().for_each(Table::clear);
        }
    }
}
