# A firewall on a network of the node. `nomad alloc exec ALLOC read passed.count` says how many packets it let pass.
job "firewall" {
  group "edge" {
    task "firewall" {
      driver = "microvisor"

      config {
        network {
          name = "blue"
        }

        config = <<-CLICK
          define($ALLOWED icmp)
          FromDevice(eth0) -> kind :: Classifier(12/0806 20/0001, 12/0800);
          kind [0] -> ARPResponder(eth0:ip eth0:eth) -> out :: Queue -> ToDevice(eth0);
          kind [1] -> Strip(14) -> CheckIPHeader -> rules :: IPFilter(allow $ALLOWED, deny all)
            -> passed :: Counter -> ICMPPingResponder -> Unstrip(14) -> EtherMirror -> out;
        CLICK

        variables {
          ALLOWED = "icmp"
        }
      }

      resources {
        cpu    = 50
        memory = 16
      }
    }
  }
}
