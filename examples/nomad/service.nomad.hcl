# A service in bridge mode: the guest has the allocation's address, the port is published on the host, Nomad checks it.
job "service" {
  group "store" {
    network {
      mode = "bridge"

      port "redis" {
        to = 6379
      }
    }

    service {
      name     = "redis"
      port     = "redis"
      provider = "nomad"

      check {
        name     = "alive"
        type     = "tcp"
        interval = "1s"
        timeout  = "1s"
      }
    }

    task "redis" {
      driver = "microvisor"

      config {
        image = "redis"
      }

      resources {
        cpu    = 100
        memory = 32
      }
    }
  }
}
