// An ARP and ICMP proxy: one network on two wires. Each half is answered for on the other wire (RFC 1027), packets are
// carried over, and pings for a host that sleeps are answered in its name.
//
//     microvisor run proxy.click --tap NAME --tap NAME
//     microvisor click NAME read pings.count

define($HALF0 10.1.0.0/25,          // who is on the first wire
       $HALF1 10.1.0.128/25,        // and on the second
       $ADDR 10.1.0.1,              // we, on both
       $SLEEPER 10.1.0.200);        // answered for

elementclass Wire { $dev, $addr, $others |
    FromDevice($dev) -> kind :: Classifier(12/0806 20/0001, 12/0806 20/0002, 12/0800, -);
    // For our own address, and for all on the other wire.
    kind [0] -> ARPResponder($addr $others $dev:eth) -> queue :: Queue(1000) -> ToDevice($dev);
    kind [1] -> [1] neighbours :: ARPQuerier($addr, $dev:eth);
    kind [2] -> Strip(14) -> CheckIPHeader -> output;
    kind [3] -> Discard;
    input -> neighbours -> queue;
}

wire0 :: Wire(eth0, $ADDR, $HALF1);
wire1 :: Wire(eth1, $ADDR, $HALF0);

// Pings for us and for the one who sleeps.
asleep :: IPClassifier(icmp type echo && (dst host $ADDR or $SLEEPER), -);
wire0 -> asleep;
wire1 -> asleep;
asleep [0] -> ICMPPingResponder -> pings :: Counter -> routes :: StaticIPLookup($HALF0 0, $HALF1 1);
asleep [1] -> carried :: Counter -> routes;

// The hosts believe that they share a wire, so the time to live stays.
routes [0] -> wire0;
routes [1] -> wire1;
