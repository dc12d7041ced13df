// A gateway between VLANs: one trunk, on which each VLAN is a network with us as its router.
//
//     microvisor run vlangateway.click --tap TRUNK
//     microvisor click NAME read between.count

define($DEV eth0,
       $VLAN0 10, $ADDR0 10.10.0.1, $NET0 10.10.0.0/24,
       $VLAN1 20, $ADDR1 10.20.0.1, $NET1 10.20.0.0/24);

// One VLAN: frames without their tag enter on input 0, IP packets to be sent on input 1. Frames to be tagged leave by
// output 0, IP packets that were received by output 1.
elementclass Vlan { $id, $addr |
    input [0] -> kind :: Classifier(12/0806 20/0001, 12/0806 20/0002, 12/0800, -);
    kind [0] -> ARPResponder($addr $DEV:eth) -> tag :: VLANEncap(VLAN_ID $id) -> [0] output;
    kind [1] -> [1] neighbours :: ARPQuerier($addr, $DEV:eth);
    kind [2] -> Strip(14) -> CheckIPHeader(INTERFACES $addr/24) -> [1] output;
    kind [3] -> Discard;
    input [1] -> neighbours -> tag;
}

vlan0 :: Vlan($VLAN0, $ADDR0);
vlan1 :: Vlan($VLAN1, $ADDR1);
trunk :: Queue(1000) -> ToDevice($DEV);
vlan0 [0] -> trunk;
vlan1 [0] -> trunk;

// The tag's lower 12 bits say which VLAN: 00a is 10, 014 is 20. Frames of others, and those without a tag, go no further.
FromDevice($DEV) -> which :: Classifier(12/8100 14/000a%0fff, 12/8100 14/0014%0fff, -);
which [0] -> VLANDecap -> [0] vlan0;
which [1] -> VLANDecap -> [0] vlan1;
which [2] -> stray :: Counter -> Discard;

routes :: StaticIPLookup($ADDR0/32 0, $ADDR1/32 0, $NET0 1, $NET1 2, 0.0.0.0/0 3);
vlan0 [1] -> routes;
vlan1 [1] -> routes;

routes [0] -> own :: IPClassifier(icmp type echo, -);
own [0] -> ICMPPingResponder -> routes;
own [1] -> ICMPError($ADDR0, unreachable, port) -> routes;
routes [1] -> ttl0 :: DecIPTTL -> between :: Counter -> [1] vlan0;
routes [2] -> ttl1 :: DecIPTTL -> between1 :: Counter -> [1] vlan1;
ttl0 [1] -> ICMPError($ADDR1, timeexceeded) -> routes;
ttl1 [1] -> ICMPError($ADDR0, timeexceeded) -> routes;
routes [3] -> ICMPError($ADDR0, unreachable, net) -> routes;
