// A load generator: UDP packets at a rate, to a target that is found by ARP. It says how much it sent, and stops.
//
//     microvisor run loadgen.click --tap NAME --set RATE=50000 --set LIMIT=500000

define($DEV eth0,
       $ADDR $DEV:ip,           // who we are
       $TARGET 10.77.0.2,       // who gets it
       $PORT 9,                 // where nobody minds (the discard service)
       $LENGTH 18,              // bytes of payload: 18 make the smallest Ethernet frame
       $RATE 1000,              // packets a second
       $LIMIT 10000);           // packets in all

FromDevice($DEV) -> kind :: Classifier(12/0806 20/0001, 12/0806 20/0002, -);
kind [0] -> ARPResponder($ADDR $DEV:eth) -> out :: Queue -> ToDevice($DEV);
kind [2] -> Discard;

// The querier puts Ethernet headers in front. Packets wait in it until the target has answered.
source :: RatedSource(LENGTH $LENGTH, RATE $RATE, LIMIT $LIMIT)
    -> UDPIPEncap($ADDR, 1024, $TARGET, $PORT)
    -> neighbours :: ARPQuerier($ADDR, $DEV:eth)
    -> sent :: Counter
    -> out;
kind [1] -> [1] neighbours;

// A script runs beside the packets. Its own variables and $(HANDLERS) are replaced when an instruction runs.
Script(
    label again,
    wait 0.1s,
    goto again $(lt $(source.count) $LIMIT),
    wait 0.5s,
    print "made $(source.count) packets, sent $(sent.count) frames, $(sent.byte_count) bytes",
    print "gave up $(neighbours.drops): did $TARGET answer?",
    stop);
