// A load balancer: one address for several servers. Packets of a connection always go to the same server.
//
//     microvisor run balancer.click --tap CLIENTS --tap SERVERS --set SERVER0=10.2.0.2 --set SERVER1=10.2.0.3
//     microvisor run balancer.click ... --set BY=robin       (in turn, instead of by the client's address)
//
// Whoever watches the servers' health says so by handler; connections that a server has go on:
//
//     microvisor click NAME write hash.down 1
//     microvisor click NAME write hash.up 1
//     microvisor click NAME read hash.servers

define($BY hash,                            // hash or robin
       $ADDR eth0:ip,                       // the address of the service
       $ADDR1 eth1:ip,
       $PORT 80,
       $SERVER0 10.2.0.2, $SERVER1 10.2.0.3);

elementclass Side { $dev, $addr |
    FromDevice($dev) -> kind :: Classifier(12/0806 20/0001, 12/0806 20/0002, 12/0800, -);
    kind [0] -> ARPResponder($addr $dev:eth) -> queue :: Queue(1000) -> ToDevice($dev);
    kind [1] -> [1] neighbours :: ARPQuerier($addr, $dev:eth);
    kind [2] -> Strip(14) -> CheckIPHeader(INTERFACES $addr/24) -> output;
    kind [3] -> Discard;
    input -> DecIPTTL -> neighbours -> queue;
}

clients :: Side(eth0, $ADDR);
servers :: Side(eth1, $ADDR1);
dropped :: Counter -> Discard;

// Two ways to choose: by a hash of the client's address, so that it comes back to its server; or each in turn. Only the
// destination is rewritten: servers see their clients' addresses, and reach them through us.
hash :: SourceIPHashMapper(100 1, - - $SERVER0 - 0 1 0, - - $SERVER1 - 0 1 1);
robin :: RoundRobinIPMapper(- - $SERVER0 - 0 1, - - $SERVER1 - 0 1);
balance :: IPRewriter($BY, drop);

clients -> in :: IPClassifier(dst host $ADDR && dst port $PORT, dst host $ADDR && icmp type echo, -);
in [0] -> [0] balance;
in [1] -> ICMPPingResponder -> clients;
in [2] -> dropped;

servers -> out :: IPClassifier(tcp or udp, -);
out [0] -> [1] balance;
out [1] -> dropped;

balance [0] -> forwarded :: Counter -> servers;
balance [1] -> returned :: Counter -> clients;
