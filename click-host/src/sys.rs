//! System calls that no library wraps: packet sockets, TUN and TAP devices, addresses of interfaces.
#![allow(unsafe_code)]

use click::DeviceInfo;
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::ffi::{CStr, CString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::mem::{transmute, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::null_mut;

/// Longest name of an interface, with the zero at its end.
const NAME: usize = libc::IFNAMSIZ;

/// Addresses of an interface.
pub fn device_info(name: &str) -> DeviceInfo {
    interfaces().into_iter().find(|(n, _)| n == name).map(|(_, facts)| facts).unwrap_or_default()
}

/// Whether there is an interface of this name.
pub fn exists(name: &str) -> bool {
    socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .is_ok_and(|any| name_to_index(&any, name).is_ok())
}

/// The interfaces of this process's network namespace: link-layer address, first IPv4 and IPv6 address, router
/// behind each.
pub fn interfaces() -> Vec<(String, DeviceInfo)> {
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: the call fills `list` in; it is freed below.
    if unsafe { libc::getifaddrs(&mut list) } != 0 {
        return Vec::new();
    }
    let (mut all, mut at) = (Vec::<(String, DeviceInfo)>::new(), list);
    // SAFETY: the list is whole until it is freed, its names end with zero, and an address is as its family says.
    unsafe {
        while let Some(entry) = at.as_ref() {
            at = entry.ifa_next;
            let name = CStr::from_ptr(entry.ifa_name).to_string_lossy().into_owned();
            // An address with a label of its own (`eth0:1`) belongs to another name.
            let known = all.iter().position(|(n, _)| *n == name).unwrap_or_else(|| {
                all.push((name, DeviceInfo::default()));
                all.len() - 1
            });
            let facts = &mut all[known].1;
            let Some(address) = entry.ifa_addr.as_ref() else { continue };
            match (i32::from(address.sa_family), entry.ifa_netmask.as_ref()) {
                (libc::AF_INET, Some(mask)) if facts.ipv4.is_none() => {
                    let ipv4 = |a: &libc::sockaddr| {
                        (*std::ptr::from_ref(a).cast::<libc::sockaddr_in>()).sin_addr.s_addr
                    };
                    facts.ipv4 = Some((ipv4(address).to_ne_bytes(), ipv4(mask).count_ones() as u8));
                }
                (libc::AF_INET6, Some(mask)) => {
                    let ipv6 = |a: &libc::sockaddr| {
                        (*std::ptr::from_ref(a).cast::<libc::sockaddr_in6>()).sin6_addr.s6_addr
                    };
                    let found = (ipv6(address), u128::from_be_bytes(ipv6(mask)).count_ones() as u8);
                    // A link-local address only while there is no other.
                    let local = |a: [u8; 16]| std::net::Ipv6Addr::from(a).is_unicast_link_local();
                    if facts.ipv6.is_none_or(|(known, _)| local(known) && !local(found.0)) {
                        facts.ipv6 = Some(found);
                    }
                }
                (libc::AF_PACKET, _) => {
                    let link = &*std::ptr::from_ref(address).cast::<libc::sockaddr_ll>();
                    if link.sll_halen == 6 {
                        facts.mac = std::array::from_fn(|i| link.sll_addr[i]);
                    }
                }
                _ => {}
            }
        }
        libc::freeifaddrs(list);
    }
    for (device, router) in routers() {
        all.iter_mut().filter(|(n, _)| *n == device).for_each(|(_, facts)| facts.gateway = Some(router));
    }
    all
}

/// Interfaces that a default route leads through, and the router there.
fn routers() -> Vec<(String, [u8; 4])> {
    let table = fs::read_to_string("/proc/self/net/route").unwrap_or_default();
    let default = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [device, "00000000", router, ..] = words[..] else { return None };
        // As the machine has it in memory.
        let router = u32::from_str_radix(router, 16).ok().filter(|r| *r != 0)?;
        Some((device.to_string(), router.to_ne_bytes()))
    };
    table.lines().skip(1).filter_map(default).collect()
}

/// A socket that takes and gives whole frames of an interface, without waiting. `protocol`: an Ethernet type. `filter`:
/// what it takes of them, if not all.
pub fn packet_socket(interface: u32, protocol: u16, filter: Option<&Filter>) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // It takes nothing yet.
    let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)?;
    if let Some(filter) = filter {
        filter.attach(&socket)?;
    }
    let on: libc::c_int = 1;
    // SAFETY: the option takes a number.
    unsafe { set_option(&socket, libc::SOL_PACKET, libc::PACKET_AUXDATA, &on)? };
    // SAFETY: the structure may be all zeros.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = interface as i32;
    let length = size_of::<libc::sockaddr_ll>() as u32;
    // SAFETY: the call reads the structure, whose length it is given.
    let result = unsafe { libc::bind(socket.as_raw_fd(), std::ptr::from_ref(&address).cast(), length) };
    if result == 0 { Ok(socket) } else { Err(io::Error::last_os_error()) }
}

/// Sets an option of a socket.
///
/// # Safety
/// The value must be of the type that the option takes, and what it points to must be there.
unsafe fn set_option<T>(
    socket: &OwnedFd,
    level: libc::c_int,
    name: libc::c_int,
    value: &T,
) -> io::Result<()> {
    let (value, length) = (std::ptr::from_ref(value).cast(), size_of::<T>() as u32);
    // SAFETY: the call reads the value, whose length it is given, as the caller answers for.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value, length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A program that says which frames a socket takes.
pub struct Filter(Vec<libc::sock_filter>);

/// What libpcap calls `struct bpf_program`.
#[repr(C)]
struct PcapProgram {
    length: libc::c_uint,
    instructions: *mut libc::sock_filter,
}

impl Filter {
    /// Compiles an expression (pcap-filter(7)) for Ethernet frames. libpcap does that, which is looked for only now.
    pub fn compile(expression: &str) -> Result<Self, String> {
        const ETHERNET: libc::c_int = 1;
        const LONGEST: libc::c_int = 262_144;
        const ANY_NETMASK: u32 = u32::MAX;
        type OpenDead = unsafe extern "C" fn(libc::c_int, libc::c_int) -> *mut libc::c_void;
        type Compile = unsafe extern "C" fn(
            *mut libc::c_void,
            *mut PcapProgram,
            *const libc::c_char,
            libc::c_int,
            u32,
        ) -> libc::c_int;
        type GetError = unsafe extern "C" fn(*mut libc::c_void) -> *const libc::c_char;
        type FreeCode = unsafe extern "C" fn(*mut PcapProgram);
        type Close = unsafe extern "C" fn(*mut libc::c_void);
        let text = CString::new(expression).map_err(|e| e.to_string())?;
        // SAFETY: the library's functions have these types (pcap(3PCAP)). The handle is closed once, what was compiled
        // is freed once and copied before, and the error's text is copied while the handle is open.
        unsafe {
            let library = libc::dlopen(c"libpcap.so.0.8".as_ptr(), libc::RTLD_NOW);
            let symbol = |name: &CStr| {
                let address =
                    if library.is_null() { null_mut() } else { libc::dlsym(library, name.as_ptr()) };
                if address.is_null() {
                    Err("libpcap is missing (Debian package libpcap0.8)")
                } else {
                    Ok(address)
                }
            };
            let open: OpenDead = transmute(symbol(c"pcap_open_dead")?);
            let compile: Compile = transmute(symbol(c"pcap_compile")?);
            let error: GetError = transmute(symbol(c"pcap_geterr")?);
            let free: FreeCode = transmute(symbol(c"pcap_freecode")?);
            let close: Close = transmute(symbol(c"pcap_close")?);
            let handle = open(ETHERNET, LONGEST);
            if handle.is_null() {
                return Err("libpcap has no memory".to_string());
            }
            let mut program = PcapProgram { length: 0, instructions: null_mut() };
            let result = if compile(handle, &mut program, text.as_ptr(), 1, ANY_NETMASK) == 0 {
                let instructions = std::slice::from_raw_parts(program.instructions, program.length as usize);
                let filter = Self(instructions.to_vec());
                free(&mut program);
                Ok(filter)
            } else {
                Err(CStr::from_ptr(error(handle)).to_string_lossy().into_owned())
            };
            close(handle);
            result
        }
    }

    fn attach(&self, socket: &OwnedFd) -> io::Result<()> {
        let length = u16::try_from(self.0.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let program = libc::sock_fprog { len: length, filter: self.0.as_ptr().cast_mut() };
        // SAFETY: the option takes this structure, and as many instructions as it says are there.
        unsafe { set_option(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program) }
    }
}

/// Has an interface receive what is sent to others too, as long as the socket is open.
pub fn promiscuous(socket: &OwnedFd, interface: u32) -> io::Result<()> {
    // SAFETY: the structure may be all zeros.
    let mut membership: libc::packet_mreq = unsafe { zeroed() };
    membership.mr_ifindex = interface as i32;
    membership.mr_type = libc::PACKET_MR_PROMISC as u16;
    // SAFETY: the option takes this structure.
    unsafe { set_option(socket, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &membership) }
}

/// Keeps the host's kernel from seeing what an interface receives, as long as the file is open: packet sockets get frames
/// before this program drops them (bpf(2), with a link to TCX, Linux 6.6).
pub fn hide_from_kernel(interface: u32) -> io::Result<OwnedFd> {
    const PROGRAM_LOAD: libc::c_long = 5;
    const LINK_CREATE: libc::c_long = 28;
    const SCHEDULER_CLASSIFIER: u32 = 3;
    const TCX_INGRESS: u32 = 46;
    // r0 = TCX_DROP; exit
    let instructions: [u64; 2] = [0x0000_0002_0000_00b7, 0x95];
    let license = c"";
    let mut load = [0u64; 6];
    load[0] = u64::from(SCHEDULER_CLASSIFIER) | (instructions.len() as u64) << 32;
    load[1] = instructions.as_ptr() as u64;
    load[2] = license.as_ptr() as u64;
    // SAFETY: the attributes are as long as said, and point to two instructions and a text that ends with zero.
    let program = unsafe { bpf(PROGRAM_LOAD, &load)? };
    let link = [program.as_raw_fd().cast_unsigned(), interface, TCX_INGRESS, 0].map(u64::from);
    let link = [link[0] | link[1] << 32, link[2] | link[3] << 32, 0, 0];
    // SAFETY: the attributes are as long as said, and hold numbers only.
    unsafe { bpf(LINK_CREATE, &link) }
}

/// bpf(2), for commands that open a file.
///
/// # Safety
/// What the attributes point to must be as the command wants it.
unsafe fn bpf(command: libc::c_long, attributes: &[u64]) -> io::Result<OwnedFd> {
    // SAFETY: the call reads the attributes, whose length it is given, and opens a file that nobody else has.
    unsafe {
        let file = libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), size_of_val(attributes));
        if file < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(file as RawFd)) }
    }
}

/// Receives a frame: how long it was, and to whom it was sent (`PACKET_HOST` and so on). A VLAN tag that the kernel took
/// out of it is put back.
pub fn receive_frame(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<(usize, u8)> {
    // SAFETY: the structures may be all zeros.
    let (mut from, mut message): (libc::sockaddr_ll, libc::msghdr) = unsafe { (zeroed(), zeroed()) };
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // Words, since control messages begin with one.
    let mut control = [0u64; 8];
    message.msg_name = std::ptr::from_mut(&mut from).cast();
    message.msg_namelen = size_of::<libc::sockaddr_ll>() as u32;
    (message.msg_iov, message.msg_iovlen) = (&mut part, 1);
    (message.msg_control, message.msg_controllen) = (control.as_mut_ptr().cast(), size_of_val(&control));
    // SAFETY: the call writes at most the buffer's length to the buffer, and the same of address and control messages.
    let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, libc::MSG_TRUNC) };
    let Ok(length) = usize::try_from(received) else { return Err(io::Error::last_os_error()) };
    // SAFETY: the kernel filled the control messages in.
    match unsafe { taken_tag(&message) } {
        Some(tag) if buffer.len() >= 16 && length >= 12 => {
            let kept = length.min(buffer.len() - 4);
            buffer.copy_within(12..kept, 16);
            buffer[12..16].copy_from_slice(&tag);
            Ok((length + 4, from.sll_pkttype))
        }
        _ => Ok((length, from.sll_pkttype)),
    }
}

/// The VLAN tag that belongs to a frame without being in it.
///
/// # Safety
/// The control messages are as the kernel wrote them.
unsafe fn taken_tag(message: &libc::msghdr) -> Option<[u8; 4]> {
    // SAFETY: the macros walk the control messages, whose length the message tells; data of this kind is this structure.
    unsafe {
        let mut at = libc::CMSG_FIRSTHDR(message);
        while let Some(header) = at.as_ref() {
            if (header.cmsg_level, header.cmsg_type) == (libc::SOL_PACKET, libc::PACKET_AUXDATA) {
                let auxiliary = libc::CMSG_DATA(at).cast::<libc::tpacket_auxdata>().read_unaligned();
                if auxiliary.tp_status & libc::TP_STATUS_VLAN_VALID == 0 {
                    return None;
                }
                let given = auxiliary.tp_status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
                let kind = if given { auxiliary.tp_vlan_tpid } else { 0x8100 };
                let ([a, b], [c, d]) = (kind.to_be_bytes(), auxiliary.tp_vlan_tci.to_be_bytes());
                return Some([a, b, c, d]);
            }
            at = libc::CMSG_NXTHDR(message, at);
        }
        None
    }
}

/// Has a raw socket take IP packets with their headers.
pub fn with_headers(socket: &OwnedFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option takes a number.
    unsafe { set_option(socket, libc::IPPROTO_IP, libc::IP_HDRINCL, &on) }
}

/// Frames that a packet socket had no room for since this was last asked.
pub fn dropped_frames(socket: &OwnedFd) -> u32 {
    // SAFETY: the structure may be all zeros.
    let mut statistics: libc::tpacket_stats = unsafe { zeroed() };
    let mut length = size_of::<libc::tpacket_stats>() as u32;
    // SAFETY: the call writes at most the structure's length to it.
    unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            std::ptr::from_mut(&mut statistics).cast(),
            &mut length,
        );
    }
    statistics.tp_drops
}

/// Opens a TUN device (`tap`: a TAP device); an empty name lets the system choose one. The device and its name.
pub fn tunnel(name: &str, tap: bool) -> io::Result<(File, String)> {
    let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    // SAFETY: the structure may be all zeros.
    let mut request: libc::ifreq = unsafe { zeroed() };
    if name.len() >= NAME {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the device's name is too long"));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    let kind = if tap { libc::IFF_TAP } else { libc::IFF_TUN };
    request.ifr_ifru.ifru_flags = (kind | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: the call reads and writes the structure that the request belongs to.
    if unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &mut request) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let bytes: Vec<u8> = request.ifr_name.iter().map(|&c| c as u8).take_while(|&b| b != 0).collect();
    Ok((file, String::from_utf8_lossy(&bytes).into_owned()))
}

/// Takes an open file of this process that others have left to it, by its number. `None`: it is not open.
pub fn inherited(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: asks for a flag, and changes nothing.
    let open = number > 2 && unsafe { libc::fcntl(number, libc::F_GETFD) } >= 0;
    // SAFETY: the file is open, and was left to this process for this use: nothing else in it has the number.
    open.then(|| unsafe { OwnedFd::from_raw_fd(number) })
}
