// What hosts of a small network need: addresses (DHCP) and names (DNS). It answers ARP and ping too.
//
//     microvisor run hosts.click --tap NAME,address=10.77.0.2/24,guest=10.77.0.1/24
//     microvisor click NAME read addresses.leases
//     microvisor click NAME write names.add "printer 10.77.0.20"

// Which addresses it gives (--set RANGE=FIRST-LAST), and the domain of its names.
define($DEV eth0, $RANGE 10.77.0.100-10.77.0.199, $ZONE lab.internal);

out :: Queue(1000) -> ToDevice($DEV);

addresses :: DHCPServer($DEV, $DEV, $DEV:ipnet, RANGE $RANGE, GATEWAY $DEV, DNS $DEV, DOMAIN $ZONE, LEASE 1h);
names :: DNSServer($DEV, $DEV, ZONE $ZONE, HOST "ns $DEV");

// Each answers what is for it, and hands on the rest.
FromDevice($DEV) -> addresses -> out;
addresses [1] -> names -> out;
names [1] -> kind :: Classifier(12/0806 20/0001, 12/0800, -);
kind [0] -> ARPResponder($DEV) -> out;
kind [1] -> Strip(14) -> CheckIPHeader -> own :: IPClassifier(dst host $DEV && icmp type echo, -);
own [0] -> ICMPPingResponder -> Unstrip(14) -> EtherMirror -> out;
own [1] -> Discard;
kind [2] -> Discard;
