// A firewall that is its own network: it answers ARP and ping, lets DNS and HTTP pass, and counts what it drops.
//
// It has one device, so what passes is sent back to its sender, who sees that it got through.
//
//     microvisor run firewall.click --tap NAME
//     microvisor click NAME read passed.count
//     microvisor click NAME read dropped.count

// Our address: that of the device, if nobody says otherwise (--set ADDR=10.77.0.1).
define($DEV eth0, $ADDR $DEV:ip);

// Everything that leaves waits in one queue. Elements before it push packets; ToDevice pulls them.
out :: Queue(1000) -> ToDevice($DEV);

// What is dropped is counted first, wherever it comes from.
dropped :: Counter -> Discard;

// Three kinds of frames: ARP requests, IP, and all others.
FromDevice($DEV) -> kind :: Classifier(12/0806 20/0001, 12/0800, -);
kind [0] -> ARPResponder($ADDR $DEV:eth) -> arp :: Counter -> out;
kind [2] -> dropped;

// IP packets whose header is wrong leave CheckIPHeader by its second output.
kind [1] -> Strip(14) -> check :: CheckIPHeader -> own :: IPClassifier(dst host $ADDR && icmp type echo, -);
check [1] -> dropped;

// Pings for us.
own [0] -> ICMPPingResponder -> ping :: Counter -> back :: Unstrip(14) -> EtherMirror -> out;

// The rules. The first that holds decides; a number is the output that the packet takes.
own [1] -> rules :: IPFilter(
    0 udp port 53,          // DNS
    0 tcp port 80,          // HTTP
    1 all);

rules [0] -> passed :: Counter -> IPMirror -> back;
rules [1] -> dropped;
