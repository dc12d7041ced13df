//! Notification suppression: by a flag, or by event index (2.7.7, 2.7.10).

use core::sync::atomic::{AtomicU16, Ordering, fence};

/// `VIRTQ_AVAIL_F_NO_INTERRUPT` and `VIRTQ_USED_F_NO_NOTIFY`, which are the same bit.
const NO_NOTIFICATIONS: u16 = 1;

/// Whether `event` lies in the entries `before..after`, whose indices wrap (2.7.7.2, 2.7.10.1).
#[inline]
pub fn crossed(event: u16, before: u16, after: u16) -> bool {
    after.wrapping_sub(event).wrapping_sub(1) < after.wrapping_sub(before)
}

/// The words by which one side requests or suppresses notifications.
pub(crate) struct Notification<'a> {
    /// `flags` of the ring that this side writes.
    pub flags: &'a AtomicU16,
    /// `used_event` or `avail_event`, at the end of the same ring.
    pub event: &'a AtomicU16,
    /// Whether `VIRTIO_F_EVENT_IDX` was negotiated: then `event` counts and `flags` does not.
    pub event_index: bool,
}

impl Notification<'_> {
    /// Requests a notification when entry `index` is published. The caller must check once more whether it is already there;
    /// the fence guarantees that one of the two sides sees the other's write.
    #[inline]
    pub fn request(&self, index: u16) {
        if self.event_index {
            self.event.store(index, Ordering::Relaxed);
        } else {
            self.flags.store(0, Ordering::Relaxed);
        }
        fence(Ordering::SeqCst);
    }

    /// Suppresses notifications; `next` is the index of the next entry. This is a hint: a notification may still come.
    #[inline]
    pub fn suppress(&self, next: u16) {
        if self.event_index {
            // An index just passed is not reached again for 65,535 entries.
            self.event.store(next.wrapping_sub(1), Ordering::Relaxed);
        } else {
            self.flags.store(NO_NOTIFICATIONS, Ordering::Relaxed);
        }
    }

    /// Whether the other side wants a notification of the published entries `before..after`.
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
