# The function as a Cloud Run service, from an image that the platform's buildpack made
# from the same files. An image is required because the Cloud Functions API cannot disable
# the invoker check, and Terraform cannot make Cloud Run build.

locals {
  run_ingress = {
    ALLOW_ALL               = "INGRESS_TRAFFIC_ALL"
    ALLOW_INTERNAL_ONLY     = "INGRESS_TRAFFIC_INTERNAL_ONLY"
    ALLOW_INTERNAL_AND_GCLB = "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
  }
}

resource "google_cloud_run_v2_service" "this" {
  count = var.image == null ? 0 : 1

  project              = var.settings.project
  location             = var.settings.region
  name                 = var.name
  description          = var.description
  labels               = var.settings.labels
  ingress              = local.run_ingress[var.settings.ingress]
  invoker_iam_disabled = var.public # public without a grant to allUsers
  deletion_protection  = false      # a service has no data

  template {
    encryption_key                   = var.settings.kms_key
    service_account                  = local.email
    timeout                          = "${var.settings.timeout_seconds}s"
    max_instance_request_concurrency = var.settings.concurrency

    scaling {
      min_instance_count = var.settings.min_instances
      max_instance_count = var.settings.max_instances
    }
    containers {
      image = var.image

      resources {
        limits            = { cpu = var.settings.cpu, memory = var.settings.memory }
        cpu_idle          = true # as the functions API sets it: CPU during requests
        startup_cpu_boost = true
      }
      dynamic "env" {
        for_each = merge(var.environment, { FUNCTION_TARGET = var.entry_point })
        content {
          name  = env.key
          value = env.value
        }
      }
    }
  }

  depends_on = [var.ready]
}

# A public service needs no grant: its invoker check is disabled.
resource "google_cloud_run_v2_service_iam_member" "service_invoker" {
  count = var.image == null || var.public ? 0 : 1

  project  = var.settings.project
  location = google_cloud_run_v2_service.this[0].location
  name     = google_cloud_run_v2_service.this[0].name
  role     = "roles/run.invoker"
  member   = var.invoker

  lifecycle {
    replace_triggered_by = [google_cloud_run_v2_service.this[0].id]
  }
}
