// What a prepared ClickOS builds, sends two packets through, and throws away: the classes that most configurations have.

define($DEV eth0, $ADDR $DEV:ip);

out :: Queue(1000) -> ToDevice($DEV);
dropped :: Counter -> Discard;

FromDevice($DEV) -> kind :: Classifier(12/0806 20/0001, 12/0800, -);
kind [0] -> ARPResponder($ADDR $DEV:eth) -> arp :: Counter -> out;
kind [2] -> dropped;

kind [1] -> Strip(14) -> check :: CheckIPHeader -> own :: IPClassifier(dst host $ADDR && icmp type echo, -);
check [1] -> dropped;
own [0] -> ICMPPingResponder -> ping :: Counter -> back :: Unstrip(14) -> EtherMirror -> out;
own [1] -> rules :: IPFilter(0 udp port 53, 0 tcp port 80, 1 all);
rules [0] -> passed :: Counter -> IPMirror -> back;
rules [1] -> dropped;
