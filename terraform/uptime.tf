# Whether the functions can be reached at all, asked from outside. A function that is
# shut off logs nothing, and without deliveries nothing else tells.

resource "google_monitoring_uptime_check_config" "function" {
  for_each = { static = module.static.name, dynamic = module.dynamic.name }

  project            = local.project
  display_name       = each.value
  period             = "300s" # from each of six places
  timeout            = "10s"  # a cold start is in time
  log_check_failures = true
  user_labels        = local.labels

  # A function answers 405 to a GET before it looks at anything else: no URL token is
  # needed here, nor is one to be. It answers 503 while its settings are wrong. The
  # platform answers 403 without the public grant, and 404 without the function.
  http_check {
    request_method = "GET"
    path           = "/${try(regex("^https://[^/]+/(.*)$", local.urls[each.key])[0], "")}"
    port           = 443
    use_ssl        = true
    validate_ssl   = true

    accepted_response_status_codes {
      status_value = 405
    }
  }

  monitored_resource {
    type = "uptime_url"
    labels = {
      project_id = var.project_id
      host       = regex("^https://([^/]+)", local.urls[each.key])[0]
    }
  }
}
