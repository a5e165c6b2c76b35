# An address of your own in front of the functions: a global load balancer with a managed
# certificate. The core's variable urls contains the URLs at this address. There is no
# rate limit: Gemini's addresses are not published, and 429s may count as failed
# deliveries.

locals {
  # Only the static function's requests are logged. A load balancer logs the URL, and the
  # dynamic function's URL contains its token.
  logged = { static = true, dynamic = false }
  labels = merge({ app = var.name }, var.labels)
}

resource "google_compute_global_address" "this" {
  project = var.project_id
  name    = "${var.name}-edge"
  labels  = local.labels
}

resource "google_compute_region_network_endpoint_group" "function" {
  for_each = var.functions

  project               = var.project_id
  region                = var.region
  name                  = "${var.name}-${each.key}"
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = each.value
  }
}

resource "google_compute_backend_service" "function" {
  for_each = var.functions

  project               = var.project_id
  name                  = "${var.name}-${each.key}"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  protocol              = "HTTPS"
  security_policy       = var.security_policy

  backend {
    group = google_compute_region_network_endpoint_group.function[each.key].id
  }
  log_config {
    enable = local.logged[each.key]
  }
}

# Requests for other paths are sent to the static function, which rejects them unless
# Gemini has signed them.
resource "google_compute_url_map" "this" {
  project         = var.project_id
  name            = "${var.name}-edge"
  default_service = google_compute_backend_service.function["static"].id

  host_rule {
    hosts        = [var.domain]
    path_matcher = "functions"
  }
  path_matcher {
    name            = "functions"
    default_service = google_compute_backend_service.function["static"].id

    dynamic "path_rule" {
      for_each = google_compute_backend_service.function
      content {
        paths   = ["/${path_rule.key}"]
        service = path_rule.value.id
      }
    }
  }
}

resource "google_compute_managed_ssl_certificate" "this" {
  project = var.project_id
  name    = "${var.name}-edge"

  managed {
    domains = [var.domain]
  }
}

resource "google_compute_ssl_policy" "this" {
  project         = var.project_id
  name            = "${var.name}-edge"
  profile         = "MODERN"
  min_tls_version = "TLS_1_2"
}

resource "google_compute_target_https_proxy" "this" {
  project          = var.project_id
  name             = "${var.name}-edge"
  url_map          = google_compute_url_map.this.id
  ssl_certificates = [google_compute_managed_ssl_certificate.this.id]
  ssl_policy       = google_compute_ssl_policy.this.id
}

resource "google_compute_global_forwarding_rule" "this" {
  project               = var.project_id
  name                  = "${var.name}-edge"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.this.id
  port_range            = "443"
  target                = google_compute_target_https_proxy.this.id
  labels                = local.labels
}
