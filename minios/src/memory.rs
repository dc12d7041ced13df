//! `memcpy` and its family, which compilers count on and a guest without a C library has to bring.
//!
//! The loops are assembly, since a compiler would turn plain ones back into calls of the functions that they make up.
//! Small sizes, which are most, go without a loop: two loads that may overlap, then two stores. Longer runs go by 64
//! bytes to aligned addresses. No string instructions: on hosts where they are emulated slowly (`rep movsb` takes 20
//! times as long as the loop on nested PVM) they cost more than they save anywhere else.
#![allow(unsafe_code)]

use core::arch::asm;
use core::arch::x86_64::*;

/// Copies up to 64 bytes; all loads come before all stores, so the ranges may overlap.
///
/// # Safety
/// As for `memmove`, with `n <= 64`.
#[inline(always)]
unsafe fn copy_small(to: *mut u8, from: *const u8, n: usize) {
    // SAFETY: in each branch the offsets stay below `n`.
    unsafe {
        if n >= 33 {
            let (a, b) = (_mm_loadu_si128(from.cast()), _mm_loadu_si128(from.add(16).cast()));
            let (y, z) = (_mm_loadu_si128(from.add(n - 32).cast()), _mm_loadu_si128(from.add(n - 16).cast()));
            _mm_storeu_si128(to.cast(), a);
            _mm_storeu_si128(to.add(16).cast(), b);
            _mm_storeu_si128(to.add(n - 32).cast(), y);
            _mm_storeu_si128(to.add(n - 16).cast(), z);
        } else if n >= 16 {
            let (a, z) = (_mm_loadu_si128(from.cast()), _mm_loadu_si128(from.add(n - 16).cast()));
            _mm_storeu_si128(to.cast(), a);
            _mm_storeu_si128(to.add(n - 16).cast(), z);
        } else if n >= 8 {
            let (a, z) =
                (from.cast::<u64>().read_unaligned(), from.add(n - 8).cast::<u64>().read_unaligned());
            to.cast::<u64>().write_unaligned(a);
            to.add(n - 8).cast::<u64>().write_unaligned(z);
        } else if n >= 4 {
            let (a, z) =
                (from.cast::<u32>().read_unaligned(), from.add(n - 4).cast::<u32>().read_unaligned());
            to.cast::<u32>().write_unaligned(a);
            to.add(n - 4).cast::<u32>().write_unaligned(z);
        } else if n >= 2 {
            let (a, z) =
                (from.cast::<u16>().read_unaligned(), from.add(n - 2).cast::<u16>().read_unaligned());
            to.cast::<u16>().write_unaligned(a);
            to.add(n - 2).cast::<u16>().write_unaligned(z);
        } else if n == 1 {
            *to = *from;
        }
    }
}

/// Copies more than 64 bytes from low to high. The first 16 and the last 64 are loaded before all else and stored
/// after it: right for overlapping ranges with `to < from`.
///
/// # Safety
/// As for `memmove`, with `n > 64` and `to` not inside `from..from + n`.
#[inline(always)]
unsafe fn copy_up(to: *mut u8, from: *const u8, n: usize) {
    // SAFETY: touches `n` bytes from both pointers, and the registers named.
    unsafe {
        asm!(
            "movups {head}, [{from}]",
            "movups {a}, [{from} + {n} - 64]",
            "movups {b}, [{from} + {n} - 48]",
            "movups {c}, [{from} + {n} - 32]",
            "movups {d}, [{from} + {n} - 16]",
            "lea {end}, [{to} + {n} - 64]",
            // On to the next aligned address to store to, which is at most 16 bytes away.
            "sub {from}, {to}",
            "lea {at}, [{to} + 16]",
            "and {at}, -16",
            "cmp {at}, {end}",
            "jae 3f",
            "2:",
            "movups {e}, [{from} + {at}]",
            "movups {f}, [{from} + {at} + 16]",
            "movups {g}, [{from} + {at} + 32]",
            "movups {h}, [{from} + {at} + 48]",
            "movaps [{at}], {e}",
            "movaps [{at} + 16], {f}",
            "movaps [{at} + 32], {g}",
            "movaps [{at} + 48], {h}",
            "add {at}, 64",
            "cmp {at}, {end}",
            "jb 2b",
            "3:",
            "movups [{end}], {a}",
            "movups [{end} + 16], {b}",
            "movups [{end} + 32], {c}",
            "movups [{end} + 48], {d}",
            "movups [{to}], {head}",
            to = in(reg) to, from = inout(reg) from => _, n = in(reg) n, end = out(reg) _, at = out(reg) _,
            head = out(xmm_reg) _,
            a = out(xmm_reg) _, b = out(xmm_reg) _, c = out(xmm_reg) _, d = out(xmm_reg) _,
            e = out(xmm_reg) _, f = out(xmm_reg) _, g = out(xmm_reg) _, h = out(xmm_reg) _,
            options(nostack),
        );
    }
}

/// Copies more than 64 bytes from high to low; the first 64 are loaded first: right for `to > from`.
///
/// # Safety
/// As for `memmove`, with `n > 64`.
#[inline(always)]
unsafe fn copy_down(to: *mut u8, from: *const u8, n: usize) {
    // SAFETY: touches `n` bytes from both pointers, and the registers named.
    unsafe {
        asm!(
            "movups {a}, [{from}]",
            "movups {b}, [{from} + 16]",
            "movups {c}, [{from} + 32]",
            "movups {d}, [{from} + 48]",
            "2:",
            "movups {e}, [{from} + {n} - 64]",
            "movups {f}, [{from} + {n} - 48]",
            "movups {g}, [{from} + {n} - 32]",
            "movups {h}, [{from} + {n} - 16]",
            "movups [{to} + {n} - 64], {e}",
            "movups [{to} + {n} - 48], {f}",
            "movups [{to} + {n} - 32], {g}",
            "movups [{to} + {n} - 16], {h}",
            "sub {n}, 64",
            "cmp {n}, 64",
            "ja 2b",
            "movups [{to}], {a}",
            "movups [{to} + 16], {b}",
            "movups [{to} + 32], {c}",
            "movups [{to} + 48], {d}",
            to = in(reg) to, from = in(reg) from, n = inout(reg) n => _,
            a = out(xmm_reg) _, b = out(xmm_reg) _, c = out(xmm_reg) _, d = out(xmm_reg) _,
            e = out(xmm_reg) _, f = out(xmm_reg) _, g = out(xmm_reg) _, h = out(xmm_reg) _,
            options(nostack),
        );
    }
}

/// C's `memcpy`.
///
/// # Safety
/// As in C.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    // SAFETY: the caller's.
    unsafe {
        if n <= 64 {
            copy_small(to, from, n);
        } else {
            copy_up(to, from, n);
        }
    }
    to
}

/// C's `memmove`.
///
/// # Safety
/// As in C.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    // SAFETY: the caller's. `to` is inside `from..from + n` only if the (wrapping) distance says so.
    unsafe {
        if n <= 64 {
            copy_small(to, from, n);
        } else if (to as usize).wrapping_sub(from as usize) >= n {
            copy_up(to, from, n);
        } else {
            copy_down(to, from, n);
        }
    }
    to
}

/// C's `memset`.
///
/// # Safety
/// As in C.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn memset(to: *mut u8, value: i32, n: usize) -> *mut u8 {
    let byte = value as u8;
    let word = u64::from(byte) * 0x0101_0101_0101_0101;
    // SAFETY: the caller's; in each branch the offsets stay below `n`.
    unsafe {
        if n > 64 {
            let v = _mm_set1_epi8(byte as i8);
            asm!(
                "movups [{at}], {v}",
                "movups [{end}], {v}",
                "movups [{end} + 16], {v}",
                "movups [{end} + 32], {v}",
                "movups [{end} + 48], {v}",
                "add {at}, 16",
                "and {at}, -16",
                "cmp {at}, {end}",
                "jae 3f",
                "2:",
                "movaps [{at}], {v}",
                "movaps [{at} + 16], {v}",
                "movaps [{at} + 32], {v}",
                "movaps [{at} + 48], {v}",
                "add {at}, 64",
                "cmp {at}, {end}",
                "jb 2b",
                "3:",
                at = inout(reg) to => _, end = in(reg) to.add(n - 64), v = in(xmm_reg) v,
                options(nostack),
            );
        } else if n >= 16 {
            let v = _mm_set1_epi8(byte as i8);
            let half = (n / 2) & !15;
            _mm_storeu_si128(to.cast(), v);
            _mm_storeu_si128(to.add(half).cast(), v);
            _mm_storeu_si128(to.add(n - 16 - half).cast(), v);
            _mm_storeu_si128(to.add(n - 16).cast(), v);
        } else if n >= 8 {
            to.cast::<u64>().write_unaligned(word);
            to.add(n - 8).cast::<u64>().write_unaligned(word);
        } else if n >= 4 {
            to.cast::<u32>().write_unaligned(word as u32);
            to.add(n - 4).cast::<u32>().write_unaligned(word as u32);
        } else if n >= 1 {
            *to = byte;
            *to.add(n / 2) = byte;
            *to.add(n - 1) = byte;
        }
    }
    to
}

/// C's `memcmp`.
///
/// # Safety
/// As in C.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    let mut at = 0;
    // SAFETY: the caller's; all loads end at or before `n`.
    unsafe {
        while at + 16 <= n {
            let (x, y) = (_mm_loadu_si128(a.add(at).cast()), _mm_loadu_si128(b.add(at).cast()));
            let equal = _mm_movemask_epi8(_mm_cmpeq_epi8(x, y)) as u32;
            if equal != 0xffff {
                at += (!equal).trailing_zeros() as usize;
                return i32::from(*a.add(at)) - i32::from(*b.add(at));
            }
            at += 16;
        }
        if at + 8 <= n {
            let (x, y) = (a.add(at).cast::<u64>().read_unaligned(), b.add(at).cast::<u64>().read_unaligned());
            if x != y {
                return if x.swap_bytes() < y.swap_bytes() { -1 } else { 1 };
            }
            at += 8;
        }
        while at < n {
            let (x, y) = (*a.add(at), *b.add(at));
            if x != y {
                return i32::from(x) - i32::from(y);
            }
            at += 1;
        }
    }
    0
}

/// `memcmp` for callers that ask only whether there is a difference.
///
/// # Safety
/// As for `memcmp`.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[cfg_attr(test, allow(dead_code))]
pub unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    // SAFETY: the caller's.
    unsafe { memcmp(a, b, n) }
}

/// C's `strlen`, which `core::ffi::CStr` wants.
///
/// # Safety
/// As in C.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[cfg_attr(test, allow(dead_code))]
pub unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut n = 0;
    // SAFETY: the caller's: there is a zero byte, and all before it can be read. Volatile, or the compiler would see
    // `strlen` in this loop.
    while unsafe { text.add(n).read_volatile() } != 0 {
        n += 1;
    }
    n
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: core::ops::Range<usize> = 0..300;

    fn pattern(n: usize) -> Vec<u8> {
        (0..n).map(|i| (i * 7 + i / 256) as u8).collect()
    }

    #[test]
    fn every_size_is_copied_whole_and_nothing_beyond() {
        for n in SIZES.chain([1023, 2047, 2048, 5000]) {
            let from = pattern(n + 2);
            let mut to = vec![0xee; n + 2];
            // SAFETY: both ranges are inside their vectors.
            unsafe { memcpy(to[1..].as_mut_ptr(), from[1..].as_ptr(), n) };
            assert_eq!(to[1..=n], from[1..=n]);
            assert_eq!((to[0], to[n + 1]), (0xee, 0xee), "{n}");
        }
    }

    #[test]
    fn overlapping_ranges_are_moved_as_if_by_a_copy() {
        for n in SIZES.chain([4096]) {
            for (from, to) in [(0, 1), (1, 0), (0, 63), (63, 0), (0, 64), (70, 3), (5, 200), (200, 5)] {
                let mut moved = pattern(n + 300);
                let mut expected = moved.clone();
                expected.copy_within(from..from + n, to);
                // SAFETY: both ranges are inside the vector.
                unsafe { memmove(moved.as_mut_ptr().add(to), moved.as_ptr().add(from), n) };
                assert!(moved == expected, "{n} bytes from {from} to {to}");
            }
        }
    }

    #[test]
    fn every_size_is_set_whole_and_nothing_beyond() {
        for n in SIZES.chain([1023, 1024, 5000]) {
            let mut bytes = vec![1; n + 2];
            // SAFETY: the range is inside the vector.
            unsafe { memset(bytes[1..].as_mut_ptr(), 0x1a5, n) };
            assert!(bytes[1..=n].iter().all(|&b| b == 0xa5));
            assert_eq!((bytes[0], bytes[n + 1]), (1, 1), "{n}");
        }
    }

    #[test]
    fn the_first_difference_decides() {
        for n in 1..100 {
            for at in 0..n {
                let a = pattern(n);
                let mut b = a.clone();
                b[at] = b[at].wrapping_add(1);
                // SAFETY: both vectors have `n` bytes.
                let (same, found) =
                    unsafe { (memcmp(a.as_ptr(), a.as_ptr(), n), memcmp(a.as_ptr(), b.as_ptr(), n)) };
                assert_eq!(same, 0);
                assert_eq!(found < 0, a < b, "{n} {at}");
            }
        }
    }
}
