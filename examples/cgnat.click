// Carrier-grade NAT: many customers behind a few public addresses. A customer keeps its public address (RFC 6888,
// REQ-2), since the address is chosen by a hash of the customer's.
//
//     microvisor run cgnat.click --tap CUSTOMERS --tap INTERNET --set PUBLIC0=203.0.113.1 --set PUBLIC1=203.0.113.2
//     microvisor click NAME read nat.table_size
//     microvisor click NAME read pool.servers          (flows by public address)
//     microvisor click NAME write pool.down 1          (give no new flow the second address)

define($ADDR0 eth0:ip, $ADDR1 eth1:ip,
       $PUBLIC0 10.2.0.100, $PUBLIC1 10.2.0.101,    // public addresses, on the network of eth1
       $NET1 eth1:ipnet,
       $GATEWAY 0.0.0.0,                            // where the Internet is; 0.0.0.0: everybody is a neighbour
       $CAPACITY 60000);                            // flows at once

elementclass Side { $dev, $addr, $all |
    FromDevice($dev) -> kind :: Classifier(12/0806 20/0001, 12/0806 20/0002, 12/0800, -);
    kind [0] -> ARPResponder($all $dev:eth) -> queue :: Queue(1000) -> ToDevice($dev);
    kind [1] -> [1] neighbours :: ARPQuerier($addr, $dev:eth);
    kind [2] -> Strip(14) -> CheckIPHeader(INTERFACES $addr/24) -> output;
    kind [3] -> Discard;
    input -> neighbours -> queue;
}

customers :: Side(eth0, $ADDR0, $ADDR0);
// The public addresses are answered for, too.
internet :: Side(eth1, $ADDR1, $ADDR1 $PUBLIC0 $PUBLIC1);
dropped :: Counter -> Discard;

// 100 points on the circle for each address; any seed will do.
pool :: SourceIPHashMapper(100 4711,
    $PUBLIC0 1024-65535 - - 0 1 0,
    $PUBLIC1 1024-65535 - - 0 1 1);

// Short times, so that ports are free again soon (RFC 4787, REQ-5 wants two minutes for UDP).
nat :: IPRewriter(pool, drop, MAPPING_CAPACITY $CAPACITY, UDP_TIMEOUT 120, UDP_STREAMING_TIMEOUT 300,
    TCP_TIMEOUT 7440, TCP_NODATA_TIMEOUT 240, TCP_DONE_TIMEOUT 30);
pings :: ICMPPingRewriter(pool, drop, TIMEOUT 60, MAPPING_CAPACITY 4096);

customers -> own :: IPClassifier(dst host $ADDR0 && icmp type echo, dst host $ADDR0, -);
own [0] -> ICMPPingResponder -> customers;
own [1] -> dropped;
own [2] -> ttl :: DecIPTTL -> out :: IPClassifier(tcp or udp, icmp type echo, -);
ttl [1] -> ICMPError($ADDR0, timeexceeded) -> customers;
out [0] -> [0] nat;
out [1] -> [0] pings;
out [2] -> dropped;

internet -> in :: IPClassifier(tcp or udp, icmp type echo-reply, icmp, -);
in [0] -> [1] nat;
in [1] -> [1] pings;
in [2] -> errors :: ICMPRewriter(nat pings) -> customers;
in [3] -> dropped;
errors [1] -> dropped;

// Who is not a neighbour is reached through the gateway.
routes :: StaticIPLookup($NET1 0, 0.0.0.0/0 $GATEWAY 0);
nat [0] -> translated :: Counter -> routes -> internet;
pings [0] -> translated;
nat [1] -> returned :: Counter -> customers;
pings [1] -> returned;
