//! Prints what the boot page says, a `NAME VALUE` line each, and checks what can be checked. Ends with 0.
#![no_std]
#![no_main]

use minios::abi::image::CONFIG_OPTIONAL;
use minios::{boot, clock, println};

minios::image! {
    name: "tells-boot",
    main: main,
    net_maximum: 16,
    net_features: minios::net::PLAIN | minios::net::OFFLOADS,
    config: CONFIG_OPTIONAL,
    memory_default: 2 << 20,
}

fn main() {
    let p = boot::page();
    println!("version {}.{}", p.version_major, p.version_minor);
    println!("size {}", p.size);
    for (name, range) in [("memory", p.memory), ("heap", p.heap), ("stack", p.stack)] {
        println!("{name} {:#x} {}", range.base, range.length);
    }
    println!("cpu-level {}", p.cpu_level);
    println!("poll-ns {}", p.poll_ns);
    println!("tsc-hz {}", p.tsc_hz);
    println!("unix-ns {}", clock::unix_ns());
    println!("up-ns {}", clock::now().0);
    println!("random {:x?}", &p.random[..8]);
    for (name, value) in boot::variables() {
        println!("word {name} {value}");
    }
    println!("config {}", boot::config().len());
    for (i, net) in boot::net_devices().iter().enumerate() {
        println!("net{i} features {:#x}", net.features);
        println!("net{i} mac {:x?} mtu {}", net.mac, net.mtu);
        println!("net{i} ipv4 {:?}/{} gateway {:?}", net.ipv4, net.ipv4_prefix, net.ipv4_gateway);
        println!("net{i} ipv6 {:x?}/{} gateway {:x?}", net.ipv6, net.ipv6_prefix, net.ipv6_gateway);
        println!("net{i} queues {} {}", net.receive.size, net.transmit.size);
        for queue in [net.receive, net.transmit] {
            assert!(queue.descriptors % 16 == 0 && queue.available % 2 == 0 && queue.used % 4 == 0);
        }
    }
    assert_eq!(p.stack.base % 4096, 0);
    assert!(p.heap.base + p.heap.length <= p.memory.base + p.memory.length);
}
