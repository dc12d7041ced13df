# A configuration that Nomad renders, from a variable here. When the variable changes, the new configuration runs without a
# packet lost:
#   nomad var put -force nomad/jobs/template answer=no
job "template" {
  group "edge" {
    task "responder" {
      driver = "microvisor"

      template {
        destination   = "local/responder.click"
        change_mode   = "signal"
        change_signal = "SIGHUP"

        data = <<-CLICK
          FromDevice(eth0) -> kind :: Classifier(12/0806 20/0001, 12/0800);
          kind [0] -> ARPResponder(eth0:ip eth0:eth) -> out :: Queue -> ToDevice(eth0);
          kind [1] -> Strip(14) -> CheckIPHeader -> seen :: Counter
          {{ with nomadVar "nomad/jobs/template" }}{{ if eq .answer.Value "yes" }}
            -> ICMPPingResponder -> Unstrip(14) -> EtherMirror -> out;
          {{ else }}
            -> Discard;
          {{ end }}{{ end }}
        CLICK
      }

      config {
        config_file = "local/responder.click"

        network {
          name = "blue"
        }
      }

      resources {
        cpu    = 50
        memory = 16
      }
    }
  }
}
