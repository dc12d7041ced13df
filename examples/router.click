// A router between two networks.
//
//     microvisor run router.click --tap NAME --tap NAME

// Addresses and networks: those of the devices, if nobody says otherwise.
define($ADDR0 eth0:ip, $NET0 eth0:ipnet,
       $ADDR1 eth1:ip, $NET1 eth1:ipnet);

// A compound element: one side of the router, with parameters. IP packets enter to be sent, and leave when received.
elementclass Side { $dev, $addr |
    FromDevice($dev) -> kind :: Classifier(12/0806 20/0001, 12/0806 20/0002, 12/0800, -);

    // Requests for our address are answered. Answers tell the querier where our neighbours are.
    kind [0] -> ARPResponder($addr $dev:eth) -> queue :: Queue(1000) -> ToDevice($dev);
    kind [1] -> [1] neighbours :: ARPQuerier($addr, $dev:eth);
    kind [2] -> Strip(14) -> CheckIPHeader(INTERFACES $addr/24) -> output;
    kind [3] -> Discard;

    input -> neighbours -> queue;
}

side0 :: Side(eth0, $ADDR0);
side1 :: Side(eth1, $ADDR1);

// Output 0: for ourselves. 1 and 2: for a neighbour on either side. 3: nobody knows where.
routes :: RadixIPLookup($ADDR0/32 0, $ADDR1/32 0, $NET0 1, $NET1 2, 0.0.0.0/0 3);
side0 -> routes;
side1 -> routes;

// Pings for us are answered; the answers take the same way as all packets. Nothing else listens here.
routes [0] -> own :: IPClassifier(icmp type echo, -);
own [0] -> ICMPPingResponder -> pings :: Counter -> routes;
own [1] -> ICMPError($ADDR0, unreachable, port) -> routes;

// A packet that has travelled too far goes no further, and its sender hears of it.
routes [1] -> ttl0 :: DecIPTTL -> forwarded0 :: Counter -> side0;
routes [2] -> ttl1 :: DecIPTTL -> forwarded1 :: Counter -> side1;
ttl0 [1] -> ICMPError($ADDR1, timeexceeded) -> routes;
ttl1 [1] -> ICMPError($ADDR0, timeexceeded) -> routes;

// No route. An error about an error is never sent, so this cannot go round in circles.
routes [3] -> ICMPError($ADDR0, unreachable, net) -> unknown :: Counter -> routes;
