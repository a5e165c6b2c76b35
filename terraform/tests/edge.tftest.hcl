# An address of your own, and the functions behind it.

mock_provider "google" {
  override_during = plan

  mock_resource "google_storage_bucket" {
    defaults = { project_number = 123456789012 }
  }
}

mock_provider "archive" {
  override_during = plan
}

run "edge" {
  command = plan

  module {
    source = "./edge"
  }

  variables {
    project_id      = "a-project"
    region          = "europe-west1"
    functions       = { static = "geminihook-static", dynamic = "geminihook-dynamic" }
    domain          = "hooks.example.com"
    security_policy = "projects/a-project/global/securityPolicies/ours"
    labels          = { team = "video" }
  }

  assert {
    condition     = google_compute_backend_service.function["static"].log_config[0].enable && !google_compute_backend_service.function["dynamic"].log_config[0].enable
    error_message = "Logs of the backends: want none for the dynamic function, because its URL contains the token."
  }
  assert {
    condition     = alltrue([for backend in google_compute_backend_service.function : backend.security_policy == "projects/a-project/global/securityPolicies/ours"])
    error_message = "Security policy: want that of the variable."
  }
  assert {
    condition     = { for key, group in google_compute_region_network_endpoint_group.function : key => group.cloud_run[0].service } == { static = "geminihook-static", dynamic = "geminihook-dynamic" }
    error_message = "Network endpoint groups: want one for each function."
  }
  assert {
    condition     = toset(flatten(google_compute_url_map.this.path_matcher[0].path_rule[*].paths)) == toset(["/static", "/dynamic"])
    error_message = "Paths: want one for each function."
  }
  assert {
    condition     = google_compute_ssl_policy.this.profile == "MODERN" && google_compute_ssl_policy.this.min_tls_version == "TLS_1_2"
    error_message = "SSL policy: want MODERN, and TLS 1.2 or later."
  }
  assert {
    condition     = output.urls == { static = "https://hooks.example.com/static", dynamic = "https://hooks.example.com/dynamic" }
    error_message = "Output urls: want the two URLs at the domain."
  }
}

run "refuses_what_is_no_edge" {
  command = plan

  module {
    source = "./edge"
  }

  variables {
    project_id      = "example.com:a-project"
    region          = "europe"
    name            = "abc"
    labels          = { Team = "video" }
    functions       = { static = "https://geminihook-static.run.app", dynamic = "geminihook-dynamic" }
    domain          = "https://hooks.example.com"
    security_policy = "ours"
  }

  expect_failures = [var.project_id, var.region, var.name, var.labels, var.functions, var.domain, var.security_policy]
}

run "behind_the_edge" {
  command = plan

  variables {
    project_id = "a-project"
    urls       = { static = "https://hooks.example.com/static", dynamic = "https://hooks.example.com/dynamic" }
  }

  assert {
    condition     = output.static_url == "https://hooks.example.com/static" && output.dynamic_url == "https://hooks.example.com/dynamic"
    error_message = "URLs: want those of the load balancer."
  }
}

run "refuses_plain_urls" {
  command = plan

  variables {
    project_id = "a-project"
    urls       = { static = "http://hooks.example.com/static", dynamic = "https://hooks.example.com/dynamic?token=x" }
  }

  expect_failures = [var.urls]
}
