# Nothing runs until there is a packet for its address; after a minute without one nothing runs again.
job "on-demand" {
  group "edge" {
    task "responder" {
      driver = "microvisor"

      config {
        on_demand_s = 60

        network {
          name    = "blue"
          address = "10.78.0.99"
        }

        config = <<-CLICK
          FromDevice(eth0) -> kind :: Classifier(12/0806 20/0001, 12/0800);
          kind [0] -> ARPResponder(eth0:ip eth0:eth) -> out :: Queue -> ToDevice(eth0);
          kind [1] -> Strip(14) -> CheckIPHeader -> ICMPPingResponder -> Unstrip(14) -> EtherMirror -> out;
        CLICK
      }

      resources {
        cpu    = 50
        memory = 16
      }
    }
  }
}
