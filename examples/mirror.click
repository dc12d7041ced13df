// A mirror: every IP packet goes back to whoever sent it.
//
//     microvisor run mirror.click --tap NAME
//     microvisor click NAME read mirrored.count

// What stands behind a `$` can be set from outside: --set DEV=eth1
define($DEV eth0, $ADDR $DEV:ip);

// A Classifier compares bytes at an offset. 12/0806: the EtherType is ARP. 20/0001: and it is a request.
FromDevice($DEV) -> kind :: Classifier(12/0806 20/0001, 12/0800, -);

// Whoever wants to send us a packet asks for our Ethernet address first.
kind [0] -> ARPResponder($ADDR $DEV:eth) -> out :: Queue -> ToDevice($DEV);

// IP elements want the IP header in front, so the Ethernet header is stripped, and put back afterwards.
kind [1] -> Strip(14)
    -> CheckIPHeader
    -> mirrored :: Counter
    -> IPMirror             // swaps IP addresses and ports
    -> Unstrip(14)
    -> EtherMirror          // swaps Ethernet addresses
    -> out;

// Every output must lead somewhere.
kind [2] -> other :: Counter -> Discard;
