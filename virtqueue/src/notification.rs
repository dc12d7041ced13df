//! Whether the other side wants to be notified: by a flag, or by the index at which it wants to be (2.7.7, 2.7.10).

use core::sync::atomic::{AtomicU16, Ordering, fence};

/// `VIRTQ_AVAIL_F_NO_INTERRUPT` and `VIRTQ_USED_F_NO_NOTIFY`, which are the same bit.
const NO_NOTIFICATIONS: u16 = 1;

/// Whether `event` lies in the entries `before..after`, whose indices wrap (2.7.7.2, 2.7.10.1).
#[inline]
pub fn crossed(event: u16, before: u16, after: u16) -> bool {
    after.wrapping_sub(event).wrapping_sub(1) < after.wrapping_sub(before)
}

/// The words in which one side says when it wants to be notified.
pub(crate) struct Notification<'a> {
    /// `flags` of the ring that this side writes.
    pub flags: &'a AtomicU16,
    /// `used_event` or `avail_event`, at the end of the same ring.
    pub event: &'a AtomicU16,
    /// Whether `VIRTIO_F_EVENT_IDX` was negotiated: then `event` counts and `flags` does not.
    pub event_index: bool,
}

impl Notification<'_> {
    /// Asks for a notification once entry `index` is there. The caller looks once more whether it is there already:
    /// the fence makes sure that one of the two sides sees the other.
    #[inline]
    pub fn request(&self, index: u16) {
        if self.event_index {
            self.event.store(index, Ordering::Relaxed);
        } else {
            self.flags.store(0, Ordering::Relaxed);
        }
        fence(Ordering::SeqCst);
    }

    /// Asks for no notifications, at an index of `next`. They are a hint: one may still come.
    #[inline]
    pub fn suppress(&self, next: u16) {
        if self.event_index {
            // An index just passed is not reached again for 65,535 entries.
            self.event.store(next.wrapping_sub(1), Ordering::Relaxed);
        } else {
            self.flags.store(NO_NOTIFICATIONS, Ordering::Relaxed);
        }
    }

    /// Whether the other side wants to be notified of the entries `before..after`, which were published.
    #[inline]
    pub fn is_wanted(&self, before: u16, after: u16) -> bool {
        // The index must be visible before the suppression is read, or both sides fall asleep.
        fence(Ordering::SeqCst);
        if self.event_index {
            crossed(self.event.load(Ordering::Relaxed), before, after)
        } else {
            self.flags.load(Ordering::Relaxed) & NO_NOTIFICATIONS == 0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_index_is_crossed_once_even_where_indices_wrap() {
        assert!(crossed(65535, 65535, 0));
        assert!(crossed(4, 3, 6));
        assert!(!crossed(6, 3, 6));
        assert!(!crossed(2, 3, 6));
    }
}
