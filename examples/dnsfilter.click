// A DNS filter between clients and the rest: questions for names on a list are refused at once, in the server's place.
// Everything else passes.
//
//     microvisor run dnsfilter.click --tap CLIENTS --tap OTHERS
//     microvisor click NAME read refused.count

// Names as they stand in a question (RFC 1035, section 4.1.2): the length of each label in front of it, and 0 behind the
// last. The mask behind % takes small and capital letters for the same. This is adserver.com and bad.example.
define($NAME0 40/08414453455256455203434F4D00%FFDFDFDFDFDFDFDFDFFFDFDFDFFF,
       $NAME1 40/03424144074558414D504C4500%FFDFDFDFFFDFDFDFDFDFDFDFFF);

define($ADDR0 eth0:ip, $NET0 eth0:ipnet, $ADDR1 eth1:ip, $NET1 eth1:ipnet);

elementclass Side { $dev, $addr |
    FromDevice($dev) -> kind :: Classifier(12/0806 20/0001, 12/0806 20/0002, 12/0800, -);
    kind [0] -> ARPResponder($addr $dev:eth) -> queue :: Queue(1000) -> ToDevice($dev);
    kind [1] -> [1] neighbours :: ARPQuerier($addr, $dev:eth);
    kind [2] -> Strip(14) -> CheckIPHeader(INTERFACES $addr/24) -> output;
    kind [3] -> Discard;
    input -> neighbours -> queue;
}

clients :: Side(eth0, $ADDR0);
others :: Side(eth1, $ADDR1);
dropped :: Counter -> Discard;

// Questions: DNS over UDP, not a fragment, no IP options, so that the name begins 40 bytes behind the IP header's start.
clients -> questions :: IPClassifier(udp dst port 53 && ip unfrag && ip hl 5, -);
questions [0] -> names :: Classifier($NAME0, $NAME1, -);
names [0] -> refuse :: Null;
names [1] -> refuse;
names [2] -> asked :: Counter -> routes :: StaticIPLookup($ADDR0/32 0, $ADDR1/32 0, $NET0 1, $NET1 2, 0.0.0.0/0 2);
questions [1] -> routes;
others -> routes;

// The question becomes its own answer: "response" and "recursion available" set, code 5 (refused), ends swapped, and
// the checksum computed anew.
refuse -> refused :: Counter
    -> StoreData(30, \<8005>, \<800F>)
    -> IPMirror
    -> SetUDPChecksum
    -> clients;

routes [0] -> own :: IPClassifier(icmp type echo, -);
own [0] -> ICMPPingResponder -> routes;
own [1] -> dropped;
routes [1] -> ttl0 :: DecIPTTL -> clients;
routes [2] -> ttl1 :: DecIPTTL -> others;
ttl0 [1] -> dropped;
ttl1 [1] -> dropped;
