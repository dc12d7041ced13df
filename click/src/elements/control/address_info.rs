use crate::args::Args;
use crate::element::Element;

crate::element! {
    /// Gives names to addresses.
    ///
    /// Every element of the configuration then takes the names instead of addresses. Devices have names of their own:
    /// `eth0` stands for the first device's addresses, `eth0:ip`, `eth0:ipnet`, `eth0:ip6`, `eth0:ip6net` and `eth0:eth` for
    /// one of them, and `eth0:bcast` for the last address of its IPv4 network.
    ///
    /// # Arguments
    /// Each: `NAME ADDRESS ...`, where addresses are IPv4 and IPv6 addresses, prefixes (also `ADDRESS/LENGTH` of a host in its
    /// network), Ethernet addresses, or names defined before.
    AddressInfo "0/0" "a/a" {}
}

impl AddressInfo {
    fn new(args: &mut Args<'_>) -> Self {
        // The names were read before any element was made.
        args.rest();
        Self {}
    }
}

impl Element for AddressInfo {}
