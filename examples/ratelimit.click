// A rate limiter between two networks: so many bytes a second in each direction, urgent packets first, and no host may
// send more than its share of packets.
//
//     microvisor run ratelimit.click --tap NAME --tap NAME --set RATE=10Mbps
//     microvisor click NAME write side1/rate.rate 20Mbps
//     microvisor click NAME read side1/late.drops

define($RATE 10Mbps,                // to each side
       $SHARE 20000,                // packets a second from one address
       $ADDR0 eth0:ip, $NET0 eth0:ipnet,
       $ADDR1 eth1:ip, $NET1 eth1:ipnet);

elementclass Side { $dev, $addr |
    FromDevice($dev) -> kind :: Classifier(12/0806 20/0001, 12/0806 20/0002, 12/0800, -);
    kind [0] -> ARPResponder($addr $dev:eth) -> first :: Queue(500);
    kind [1] -> [1] neighbours :: ARPQuerier($addr, $dev:eth);
    kind [2] -> Strip(14) -> CheckIPHeader(INTERFACES $addr/24) -> output;
    kind [3] -> Discard;

    // What is short and waited for goes first: pings, names, acknowledgements without data. The rest waits its turn,
    // and is dropped early when much of it waits. ARP belongs to the urgent.
    input -> sort :: IPClassifier(icmp or udp port 53 or ip len < 80, -);
    sort [0] -> [0] neighbours;
    sort [1] -> Paint(1) -> [0] neighbours;
    neighbours -> urgent :: PaintSwitch;
    urgent [0] -> first;
    urgent [1] -> early :: RED(100, 400, 0.1) -> late :: Queue(500);

    first -> [0] order :: PrioSched;
    late -> [1] order;
    order -> rate :: BandwidthShaper($RATE) -> sent :: Counter -> ToDevice($dev);
}

side0 :: Side(eth0, $ADDR0);
side1 :: Side(eth1, $ADDR1);
dropped :: Counter -> Discard;

// Rates by source address. Who sends more than its share is cut off until it sends less.
watch :: IPRateMonitor(PACKETS, 1, $SHARE, 1000) -> share :: Block($SHARE) -> routes :: StaticIPLookup(
    $ADDR0/32 0, $ADDR1/32 0, $NET0 1, $NET1 2, 0.0.0.0/0 3);
share [1] -> excess :: Counter -> Discard;
side0 -> watch;
side1 -> watch;

routes [0] -> own :: IPClassifier(icmp type echo, -);
own [0] -> ICMPPingResponder -> routes;
own [1] -> dropped;
routes [1] -> ttl0 :: DecIPTTL -> side0;
routes [2] -> ttl1 :: DecIPTTL -> side1;
routes [3] -> dropped;
ttl0 [1] -> ICMPError($ADDR1, timeexceeded) -> routes;
ttl1 [1] -> ICMPError($ADDR0, timeexceeded) -> routes;
