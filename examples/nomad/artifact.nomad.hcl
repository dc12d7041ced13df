# An image and a configuration that Nomad fetches and checks.
variable "source" {
  description = "where image and configuration are: a URL"
}

variable "image_checksum" {
  description = "sha256:..."
}

job "artifact" {
  group "edge" {
    task "responder" {
      driver = "microvisor"

      artifact {
        source      = "${var.source}/clickos"
        destination = "local/image"
        mode        = "file"

        options {
          checksum = var.image_checksum
        }
      }

      artifact {
        source      = "${var.source}/responder.click"
        destination = "local"
      }

      config {
        image       = "local/image"
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
