//! Where packets' buffers come from and go to: a list of free ones, so that steady traffic allocates nothing.
//!
//! On a host each thread has a list of its own. In a guest there is one, under a spin lock that is held for a few instructions;
//! batches take and give many buffers under one lock. Buffers of other than the ordinary capacity go to the heap.

use super::{Buffer, CAPACITY, Meta, layout};
use alloc::alloc::{alloc_zeroed, dealloc};
#[cfg(not(feature = "host"))]
use core::cell::UnsafeCell;
use core::ptr::NonNull;
#[cfg(not(feature = "host"))]
use core::sync::atomic::{AtomicBool, Ordering};

/// Free buffers kept; more go back to the heap.
const KEPT: usize = 4096;

#[cfg(not(feature = "host"))]
struct FreeList {
    locked: AtomicBool,
    list: UnsafeCell<List>,
}

struct List {
    head: Option<Buffer>,
    count: usize,
}

// SAFETY: `list` is touched only by `with`, under the lock.
#[cfg(not(feature = "host"))]
unsafe impl Sync for FreeList {}

#[cfg(not(feature = "host"))]
static FREE: FreeList =
    FreeList { locked: AtomicBool::new(false), list: UnsafeCell::new(List { head: None, count: 0 }) };

#[cfg(not(feature = "host"))]
impl FreeList {
    #[inline]
    fn with<R>(&self, f: impl FnOnce(&mut List) -> R) -> R {
        while self.locked.swap(true, Ordering::Acquire) {
            core::hint::spin_loop();
        }
        // SAFETY: the lock was free and is now ours. `f` is one of the closures of this file: they do not panic, and
        // do not come back here.
        let result = f(unsafe { &mut *self.list.get() });
        self.locked.store(false, Ordering::Release);
        result
    }
}

#[cfg(not(feature = "host"))]
#[inline]
fn with<R>(f: impl FnOnce(&mut List) -> R) -> R {
    FREE.with(f)
}

#[cfg(feature = "host")]
std::thread_local! {
    static FREE: core::cell::RefCell<List> = const { core::cell::RefCell::new(List { head: None, count: 0 }) };
}

/// Does something with this thread's list. No packet outlives the lists of a thread: none is in another thread-local value.
#[cfg(feature = "host")]
#[inline]
fn with<R>(f: impl FnOnce(&mut List) -> R) -> R {
    FREE.with_borrow_mut(f)
}

#[cfg(feature = "host")]
impl Drop for List {
    fn drop(&mut self) {
        let mut at = self.head.take();
        while let Some(buffer) = at {
            // SAFETY: buffers in the list are whole and belong to nobody else.
            at = unsafe { buffer.as_ref() }.link;
            free(buffer);
        }
    }
}

/// A buffer of the ordinary capacity; its [`Meta`] is as the last owner left it. `None`: the heap is used up.
#[inline]
pub(super) fn take() -> Option<Buffer> {
    let free = with(|list| {
        let buffer = list.head?;
        // SAFETY: buffers in the list are whole and belong to nobody else.
        list.head = unsafe { buffer.as_ref() }.link;
        list.count -= 1;
        Some(buffer)
    });
    free.or_else(|| allocate(CAPACITY))
}

/// Up to `n` buffers as a linked list, with its length: those that are free now.
pub(super) fn take_list(n: usize) -> (Option<Buffer>, usize) {
    with(|list| {
        let head = list.head;
        let (mut last, mut taken) = (None, 0);
        while taken < n
            && let Some(buffer) = list.head
        {
            // SAFETY: as in `take`.
            list.head = unsafe { buffer.as_ref() }.link;
            (last, taken) = (Some(buffer), taken + 1);
        }
        list.count -= taken;
        match last {
            Some(mut last) => {
                // SAFETY: as in `take`.
                unsafe { last.as_mut() }.link = None;
                (head, taken)
            }
            None => (None, 0),
        }
    })
}

/// Takes back a buffer that belongs to nobody.
#[inline(never)]
pub(super) fn put(mut buffer: Buffer) {
    // SAFETY: the caller owns the buffer.
    let meta = unsafe { buffer.as_mut() };
    let kept = meta.capacity as usize == CAPACITY
        && with(|list| {
            if list.count >= KEPT {
                return false;
            }
            meta.link = list.head;
            list.head = Some(buffer);
            list.count += 1;
            true
        });
    if !kept {
        free(buffer);
    }
}

/// Takes back a linked list of `count` buffers from `head` to `tail`.
#[inline]
pub(super) fn give_list(head: Buffer, mut tail: Buffer, count: usize) {
    let mut ordinary = true;
    let mut at = Some(head);
    while let Some(buffer) = at {
        // SAFETY: the caller owns the buffers of the list.
        let meta = unsafe { buffer.as_ref() };
        ordinary &= meta.capacity as usize == CAPACITY;
        at = meta.link;
    }
    let kept = ordinary
        && with(|list| {
            if list.count + count > KEPT {
                return false;
            }
            // SAFETY: as above.
            unsafe { tail.as_mut() }.link = list.head;
            list.head = Some(head);
            list.count += count;
            true
        });
    let mut at = (!kept).then_some(head);
    while let Some(buffer) = at {
        // SAFETY: as above; the link is read before the buffer goes.
        at = unsafe { buffer.as_ref() }.link;
        put(buffer);
    }
}

/// A zeroed buffer from the heap.
pub(super) fn allocate(capacity: usize) -> Option<Buffer> {
    // SAFETY: the layout is not empty.
    let pointer = NonNull::new(unsafe { alloc_zeroed(layout(capacity as u32)) }.cast::<Meta>())?;
    // SAFETY: fresh memory with room for a `Meta`.
    unsafe { pointer.write(Meta::new(capacity as u32)) };
    Some(pointer)
}

fn free(buffer: Buffer) {
    // SAFETY: made by `allocate` with the capacity that it carries, and owned by the caller.
    unsafe { dealloc(buffer.as_ptr().cast(), layout(buffer.as_ref().capacity)) };
}
