# Many small guests, updated ten at a time. They have the memory that ClickOS asks for, so that they take prepared guests.
variable "count" {
  type    = number
  default = 100
}

job "fleet" {
  update {
    max_parallel     = 10
    min_healthy_time = "100ms"
    health_check     = "task_states"
  }

  group "edge" {
    count = var.count

    ephemeral_disk {
      size = 20
    }

    task "responder" {
      driver = "microvisor"

      config {
        network {
          name = "blue"
        }

        config = <<-CLICK
          FromDevice(eth0) -> kind :: Classifier(12/0806 20/0001, 12/0800);
          kind [0] -> ARPResponder(eth0:ip eth0:eth) -> out :: Queue -> ToDevice(eth0);
          kind [1] -> Strip(14) -> CheckIPHeader -> ICMPPingResponder -> Unstrip(14) -> EtherMirror -> out;
        CLICK
      }

      logs {
        max_files     = 2
        max_file_size = 2
      }

      resources {
        cpu    = 20
        memory = 16
      }
    }
  }
}
