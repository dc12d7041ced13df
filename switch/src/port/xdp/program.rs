//! The program in the kernel that sends a queue's packets to its socket, and lets all others pass.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const MAP_CREATE: libc::c_int = 0;
const MAP_UPDATE: libc::c_int = 2;
const PROG_LOAD: libc::c_int = 5;
const LINK_CREATE: libc::c_int = 28;
const XSKMAP: u32 = 17;
const PROG_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
const XDP_PASS: i32 = 2;
/// `bpf_redirect_map`
const REDIRECT_MAP: i32 = 51;
/// Where `struct xdp_md` has the queue.
const RX_QUEUE_INDEX: i16 = 16;

/// The program, for as long as this exists.
pub struct Program {
    _link: OwnedFd,
    _map: OwnedFd,
}

/// An instruction (kernel, `struct bpf_insn`).
const fn instruction(code: u8, to: u8, from: u8, offset: i16, value: i32) -> u64 {
    (code as u64)
        | ((to as u64) << 8)
        | ((from as u64) << 12)
        | ((offset as u16 as u64) << 16)
        | ((value as u32 as u64) << 32)
}

/// The call with attributes of its own; they are as long as their union needs to be for it.
fn bpf<const N: usize>(command: libc::c_int, attributes: &[u64; N]) -> io::Result<OwnedFd> {
    // SAFETY: the attributes live through the call, and what they point at does too (by each caller).
    unsafe {
        let length = size_of_val(attributes);
        let fd = libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), length);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

const fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

impl Program {
    /// Sends the packets of a queue to a socket from now on.
    pub fn attach(interface: u32, queue: u32, socket: &OwnedFd) -> io::Result<Self> {
        // Map type, key size, value size, entries.
        let map = bpf(MAP_CREATE, &[pair(XSKMAP, 4), pair(4, queue + 1), 0])?;
        let (key, value) = (queue, socket.as_raw_fd());
        let update = [pair(map.as_raw_fd() as u32, 0), (&raw const key) as u64, (&raw const value) as u64, 0];
        // SAFETY: the key and the value live through the call, which returns no descriptor.
        let updated =
            unsafe { libc::syscall(libc::SYS_bpf, MAP_UPDATE, update.as_ptr(), size_of_val(&update)) };
        if updated < 0 {
            return Err(io::Error::last_os_error());
        }
        // r2 = ctx->rx_queue_index; r1 = map; r3 = XDP_PASS; return bpf_redirect_map(r1, r2, r3)
        let code = [
            instruction(0x61, 2, 1, RX_QUEUE_INDEX, 0),
            instruction(0x18, 1, 1, 0, map.as_raw_fd()),
            0,
            instruction(0xb7, 3, 0, 0, XDP_PASS),
            instruction(0x85, 0, 0, 0, REDIRECT_MAP),
            instruction(0x95, 0, 0, 0, 0),
        ];
        let license = c"Apache-2.0";
        let load =
            [pair(PROG_XDP, code.len() as u32), code.as_ptr() as u64, license.as_ptr() as u64, 0, 0, 0];
        let program = bpf(PROG_LOAD, &load)?;
        let link = bpf(LINK_CREATE, &[pair(program.as_raw_fd() as u32, interface), pair(ATTACH_XDP, 0), 0])?;
        Ok(Self { _link: link, _map: map })
    }
}
