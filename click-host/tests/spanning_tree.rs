//! A switch of elements and the kernel's bridge on two cables, which would be a circle.

mod common;

use common::{Running, Space};
use std::time::Duration;

const SWITCH: &str = "
    f0 :: FromDevice(q0, PROMISC true) -> c0 :: Classifier(14/4242, -);
    f1 :: FromDevice(q1, PROMISC true) -> c1 :: Classifier(14/4242, -);
    o0 :: Queue -> ToDevice(q0); o1 :: Queue -> ToDevice(q1);
    st :: EtherSpanTree(2:0:0:0:0:1, in, out, sw); sw :: EtherSwitch; in, out :: Suppressor;
    c0[0] -> [0] st [0] -> o0; c1[0] -> [1] st [1] -> o1;
    c0[1] -> [0] in [0] -> [0] sw [0] -> [0] out [0] -> o0;
    c1[1] -> [1] in [1] -> [1] sw [1] -> [1] out [1] -> o1;
    DriverManager(wait 3, print st.msgs, print out.active1, wait 12, print st.msgs, print in.active1, stop)";

#[test]
fn a_circle_is_cut_and_the_other_way_is_taken_when_one_ends() {
    let space = Space::new("stp");
    // The shortest times that the standard allows.
    space.ip("link add br0 type bridge stp_state 1 forward_delay 400 hello_time 100 max_age 600");
    for n in [0, 1] {
        space.ip(&format!("link add p{n} type veth peer name q{n}"));
        space.ip(&format!("link set p{n} master br0"));
        space.ip(&format!("link set p{n} up"));
        space.ip(&format!("link set q{n} up"));
    }
    space.ip("link set br0 up");
    let switch = Running::start(space.click(&["-e", SWITCH]));
    std::thread::sleep(Duration::from_secs(4));
    space.ip("link set p0 nomaster");
    let (status, out, err) = switch.end();
    assert_eq!((status, err.as_str()), (0, ""), "{out}");
    let lines: Vec<&str> = out.lines().collect();
    // The kernel's bridge is the root by its priority, 0x8000, and both ports lead there: the second is blocked.
    assert!(lines[0].starts_with("0 listening 8000"), "{out}");
    assert!(lines[1].starts_with("1 blocking 8000"), "{out}");
    assert!(lines[2].contains(" 1 -> 8000"), "{out}");
    assert_eq!(lines[3], "false", "{out}");
    // What was heard on the first is too old: now the second leads to the root, and learns at least.
    assert!(lines[4].starts_with("0 ") && lines[4].ends_with("nothing"), "{out}");
    assert!(lines[5].starts_with("1 learning") || lines[5].starts_with("1 forwarding"), "{out}");
    assert_eq!(lines[7], "true", "{out}");
}
