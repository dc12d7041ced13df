// A stateful firewall: hosts inside may begin to talk to hosts outside, and get answers. Nothing begins outside.
//
//     microvisor run stateful.click --tap INSIDE --tap OUTSIDE
//     microvisor click NAME read flows.udp_table
//     microvisor click NAME swap stateful.click       (flows stay)

define($ADDR0 eth0:ip, $ADDR1 eth1:ip,
       $CAPACITY 65536);                        // flows at once

// One side: IP packets enter to be sent, and leave when received.
elementclass Side { $dev, $addr |
    FromDevice($dev) -> kind :: Classifier(12/0806 20/0001, 12/0806 20/0002, 12/0800, -);
    kind [0] -> ARPResponder($addr $dev:eth) -> queue :: Queue(1000) -> ToDevice($dev);
    kind [1] -> [1] neighbours :: ARPQuerier($addr, $dev:eth);
    kind [2] -> Strip(14) -> CheckIPHeader(INTERFACES $addr/24) -> output;
    kind [3] -> Discard;
    input -> DecIPTTL -> neighbours -> queue;
}

inside :: Side(eth0, $ADDR0);
outside :: Side(eth1, $ADDR1);
dropped :: Counter -> Discard;

// What is remembered. `keep` changes nothing in the packets: packets of the flow leave by output 0, answers by output 1.
// Packets of unknown flows make a new one on input 0, and are dropped on input 1.
flows :: IPRewriter(keep 0 1, drop, MAPPING_CAPACITY $CAPACITY);
pings :: ICMPPingRewriter(keep 0 1, drop, TIMEOUT 30, MAPPING_CAPACITY 4096);

inside -> own :: IPClassifier(dst host $ADDR0 && icmp type echo, dst host $ADDR0 or $ADDR1, -);
own [0] -> ICMPPingResponder -> inside;
own [1] -> dropped;
own [2] -> out :: IPClassifier(tcp or udp, icmp type echo, -);
out [0] -> [0] flows;
out [1] -> [0] pings;
out [2] -> dropped;

outside -> in :: IPClassifier(tcp or udp, icmp type echo-reply, icmp, -);
in [0] -> [1] flows;
in [1] -> [1] pings;
// Errors about packets of known flows.
in [2] -> errors :: ICMPRewriter(flows pings) -> inside;
in [3] -> dropped;
errors [1] -> dropped;

flows [0] -> sent :: Counter -> outside;
pings [0] -> sent;
flows [1] -> answers :: Counter -> inside;
pings [1] -> answers;
