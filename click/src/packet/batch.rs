//! Packets that travel together: a list linked through the buffers themselves, so that batches of any size are made,
//! split and joined without allocating.

use super::{Buffer, Packet, pool};
use core::mem::ManuallyDrop;

/// Packets that an element makes or takes at once, where nothing else is asked.
pub const BURST: usize = 32;

/// Some packets, in order. Dropping it gives their buffers back all at once.
#[derive(Debug, Default)]
pub struct Batch {
    head: Option<Buffer>,
    /// Valid while `head` is some.
    tail: Option<Buffer>,
    count: usize,
}

// SAFETY: the batch owns the buffers of its list alone.
unsafe impl Send for Batch {}

impl Batch {
    /// Without packets.
    #[inline]
    pub const fn new() -> Self {
        Self { head: None, tail: None, count: 0 }
    }

    /// With one packet.
    #[inline]
    pub fn one(packet: Packet) -> Self {
        let mut batch = Self::new();
        batch.push(packet);
        batch
    }

    /// `n` packets without data, or as many as the heap has room for.
    pub fn empty_packets(n: usize) -> Self {
        let (head, count) = pool::take_list(n);
        let mut batch = Self { head, tail: None, count };
        let mut at = head;
        while let Some(mut buffer) = at {
            // SAFETY: the buffers of the list are ours.
            let meta = unsafe { buffer.as_mut() };
            (batch.tail, at) = (Some(buffer), meta.link);
            meta.reset();
        }
        while batch.count < n
            && let Some(packet) = Packet::new(0)
        {
            batch.push(packet);
        }
        batch
    }

    /// Adds a packet at the end.
    #[inline]
    pub fn push(&mut self, packet: Packet) {
        let mut buffer = packet.into_buffer();
        // SAFETY: the handle gave the buffer to us; the tail is ours.
        unsafe {
            buffer.as_mut().link = None;
            match &mut self.tail {
                Some(tail) if self.count > 0 => tail.as_mut().link = Some(buffer),
                _ => self.head = Some(buffer),
            }
        }
        self.tail = Some(buffer);
        self.count += 1;
    }

    /// Takes the first packet.
    #[inline]
    pub fn pop(&mut self) -> Option<Packet> {
        let buffer = self.head?;
        // SAFETY: the buffers of the list are ours.
        self.head = unsafe { buffer.as_ref() }.link;
        self.count -= 1;
        Some(Packet(buffer))
    }

    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The first one.
    pub fn first(&self) -> Option<&Packet> {
        self.iter().next()
    }

    /// Takes the first `n`, or all.
    pub fn take_front(&mut self, n: usize) -> Batch {
        if n >= self.count {
            return core::mem::take(self);
        }
        let mut front = Batch::new();
        while front.count < n
            && let Some(packet) = self.pop()
        {
            front.push(packet);
        }
        front
    }

    /// Adds the packets of another batch at the end.
    #[inline]
    pub fn append(&mut self, other: Batch) {
        let other = ManuallyDrop::new(other);
        if other.count == 0 {
            return;
        }
        match &mut self.tail {
            // SAFETY: both lists are ours.
            Some(tail) if self.count > 0 => unsafe { tail.as_mut().link = other.head },
            _ => self.head = other.head,
        }
        self.tail = other.tail;
        self.count += other.count;
    }

    /// Takes all packets, one after the other.
    #[inline]
    pub fn drain(&mut self) -> impl Iterator<Item = Packet> + '_ {
        core::iter::from_fn(|| self.pop())
    }

    /// Looks at each.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &Packet> {
        let mut at = self.head.as_ref();
        core::iter::from_fn(move || {
            let buffer = at?;
            // SAFETY: the buffers of the list are ours, and borrowed with the batch. A `Packet` is a transparent
            // wrapper of such a pointer.
            unsafe {
                at = buffer.as_ref().link.as_ref();
                Some(&*core::ptr::from_ref(buffer).cast::<Packet>())
            }
        })
    }

    /// Changes each.
    #[inline]
    pub fn each(&mut self, mut f: impl FnMut(&mut Packet)) {
        self.retain_or_else(
            |packet| {
                f(packet);
                true
            },
            drop,
        );
    }

    /// Keeps those that `stay` approves of; the others, in order.
    #[inline]
    pub fn partition(&mut self, stay: impl FnMut(&mut Packet) -> bool) -> Self {
        let mut others = Self::new();
        self.retain_or_else(stay, |packet| others.push(packet));
        others
    }

    /// Keeps those that `stay` approves of, and hands the others to `leave`, in order.
    #[inline]
    pub fn retain_or_else(
        &mut self,
        mut stay: impl FnMut(&mut Packet) -> bool,
        mut leave: impl FnMut(Packet),
    ) {
        // Should a closure panic, the list is lost rather than used in a half-changed state.
        let mut list = ManuallyDrop::new(core::mem::take(self));
        let mut before: Option<Buffer> = None;
        let mut at = list.head;
        while let Some(buffer) = at {
            // SAFETY: the buffers of the list are ours; each has one handle at a time. The link is read first.
            at = unsafe { buffer.as_ref() }.link;
            let mut packet = ManuallyDrop::new(Packet(buffer));
            let stays = stay(&mut packet);
            if stays && packet.0 == buffer {
                before = Some(buffer);
                continue;
            }
            // It leaves, or went to another buffer: the list is joined anew.
            let mut joined = at;
            if stays {
                let mut now = packet.0;
                // SAFETY: the handle owned this buffer, which takes the old one's place.
                unsafe { now.as_mut() }.link = at;
                joined = Some(now);
            }
            match &mut before {
                // SAFETY: as above.
                Some(before) => unsafe { before.as_mut().link = joined },
                None => list.head = joined,
            }
            if stays {
                before = joined;
            } else {
                list.count -= 1;
                leave(ManuallyDrop::into_inner(packet));
            }
        }
        list.tail = before;
        *self = ManuallyDrop::into_inner(list);
    }

    /// Hands neighbours of one key to `emit`, in order.
    #[inline]
    pub fn runs<K: Copy + PartialEq>(
        self,
        mut key: impl FnMut(&mut Packet) -> K,
        mut emit: impl FnMut(K, Batch),
    ) {
        // Should a closure panic, the rest is lost rather than used in a half-changed state.
        let list = ManuallyDrop::new(self);
        let (mut at, mut current) = (list.head, None);
        let mut run = ManuallyDrop::new(Batch::new());
        while let Some(buffer) = at {
            // SAFETY: the buffers of the list are ours; each has one handle at a time. The link is read first.
            at = unsafe { buffer.as_ref() }.link;
            let mut packet = ManuallyDrop::new(Packet(buffer));
            let of = key(&mut packet);
            let mut now = packet.0;
            let ends = current.is_some_and(|current| current != of);
            if let Some(mut before) = run.tail.filter(|_| ends || now != buffer) {
                // SAFETY: as above.
                unsafe { before.as_mut() }.link = if ends { None } else { Some(now) };
            }
            if now != buffer {
                // SAFETY: the handle owned this buffer, which takes the old one's place.
                unsafe { now.as_mut() }.link = at;
            }
            if let Some(current) = current.filter(|_| ends) {
                emit(current, core::mem::take(&mut *run));
            }
            current = Some(of);
            run.head = run.head.or(Some(now));
            run.tail = Some(now);
            run.count += 1;
        }
        if let Some(current) = current {
            emit(current, ManuallyDrop::into_inner(run));
        }
    }

    /// Bytes of all.
    pub fn bytes(&self) -> u64 {
        self.iter().map(|p| p.len() as u64).sum()
    }

    /// A copy of every packet; those that the heap has no room for are missing.
    pub fn duplicate(&self) -> Self {
        self.iter().filter_map(Packet::duplicate).collect()
    }
}

impl Drop for Batch {
    #[inline]
    fn drop(&mut self) {
        if let (Some(head), Some(tail), 1..) = (self.head, self.tail, self.count) {
            pool::give_list(head, tail, self.count);
        }
    }
}

impl FromIterator<Packet> for Batch {
    fn from_iter<I: IntoIterator<Item = Packet>>(packets: I) -> Self {
        let mut batch = Batch::new();
        packets.into_iter().for_each(|p| batch.push(p));
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn bytes(batch: &Batch) -> Vec<u8> {
        batch.iter().map(|p| p.data()[0]).collect()
    }

    fn popped(mut batch: Batch) -> Vec<u8> {
        batch.drain().map(|p| p.data()[0]).collect()
    }

    proptest! {
        #[test]
        fn neighbours_of_one_key_go_together(bytes in proptest::collection::vec(0u8..4, 0..40)) {
            let batch: Batch = bytes.iter().map(|n| Packet::from_bytes(&[*n; 30]).unwrap()).collect();
            let mut runs = Vec::new();
            // Some move to a larger buffer.
            let key = |p: &mut Packet| { let b = p.data()[0]; if b == 3 { p.put(4000).unwrap(); } b / 2 };
            batch.runs(key, |key, run| runs.push((key, super::tests::bytes(&run), run.len(), popped(run))));
            let expected: Vec<_> = bytes.chunk_by(|a, b| a / 2 == b / 2).map(|run| (run[0] / 2, run.to_vec(), run.len(), run.to_vec())).collect();
            prop_assert_eq!(runs, expected);
        }

        #[test]
        fn a_batch_behaves_as_a_list(steps in proptest::collection::vec((0u8..6, any::<u8>()), 0..60)) {
            let (mut batch, mut model) = (Batch::new(), Vec::new());
            for (what, n) in steps {
                match what {
                    0 | 1 => {
                        batch.push(Packet::from_bytes(&[n; 30]).unwrap());
                        model.push(n);
                    }
                    2 => {
                        let popped = batch.pop().map(|p| p.data()[0]);
                        prop_assert_eq!(popped, (!model.is_empty()).then(|| model.remove(0)));
                    }
                    3 => {
                        let mut left = Vec::new();
                        // Some of those that stay move to a larger buffer.
                        batch.retain_or_else(|p| { let b = p.data()[0]; if b % 3 == 0 { p.put(4000).unwrap(); } b >= n }, |p| left.push(p.data()[0]));
                        prop_assert_eq!(left, model.iter().copied().filter(|&b| b < n).collect::<Vec<_>>());
                        model.retain(|&b| b >= n);
                    }
                    4 => {
                        let mut front = batch.take_front(usize::from(n % 8));
                        front.append(core::mem::take(&mut batch));
                        batch = front;
                    }
                    _ => {
                        batch.append(batch.duplicate());
                        model.extend(model.clone());
                        if model.len() > 500 { batch = Batch::new(); model.clear(); }
                    }
                }
                prop_assert_eq!(bytes(&batch), model.clone());
                prop_assert_eq!(batch.len(), model.len());
            }
        }
    }
}
