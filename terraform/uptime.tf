# Requests from outside that check whether the functions can be reached. A function that
# cannot be reached logs nothing, so that no metric of the log would show it.

resource "google_monitoring_uptime_check_config" "function" {
  for_each = { static = module.static.name, dynamic = module.dynamic.name }

  project            = local.project
  display_name       = each.value
  period             = "300s" # from each of six places
  timeout            = "10s"  # longer than a cold start
  log_check_failures = true
  user_labels        = local.labels

  # A function answers 405 to a GET before it checks anything else, so that the check
  # needs no URL token. If its settings are invalid, it answers 503. The platform answers
  # 403 if the public grant is missing, and 404 if the function is.
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
