// Answers pings for its own address, and who asks where that is.
FromDevice(eth0) -> kind :: Classifier(12/0806 20/0001, 12/0800);
kind [0] -> ARPResponder(eth0:ip eth0:eth) -> out :: Queue -> ToDevice(eth0);
kind [1] -> Strip(14) -> CheckIPHeader -> ICMPPingResponder -> Unstrip(14) -> EtherMirror -> out;
