//! Says that it is ready while it prepares itself, before anybody has asked for it: a fault.
#![no_std]
#![no_main]

minios::image! { name: "readies-early", main: main, prepare: minios::registers::ready }

fn main() {}
