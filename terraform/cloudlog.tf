# Metrics from the log lines of the functions (shared/cloudlog, shared/receiver), and the
# log entries of the platform that must not be stored.

locals {
  receiver_logs = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=(\"${module.static.name}\" OR \"${module.dynamic.name}\")"
  deliveries    = "${local.receiver_logs} AND jsonPayload.message=\"delivery\""

  # The documented types. The label type has only these values, whatever a sender sends.
  event_types = [
    "batch.succeeded", "batch.failed", "batch.expired", "batch.cancelled",
    "interaction.completed", "interaction.requires_action", "interaction.failed", "interaction.cancelled",
    "video.generated",
  ]
  event_type_pattern = "^(${join("|", [for type in local.event_types : replace(type, ".", "[.]")])})$"

  # The outcomes of genuine deliveries and of failures of the receiver. Ratios and
  # percentiles count only these. Otherwise uptime checks, and requests that anyone can
  # send, would change them.
  ours_to_take = ["published", "duplicate", "mismatch", "unmarked", "stale", "busy", "unavailable"]

  # The outcomes that the receiver answers with 503. The last two are no failures: any
  # sender can cause them.
  answered_503 = ["busy", "unavailable", "overloaded", "slow_body"]

  # The metrics' names in PromQL.
  series = { for key, metric in {
    deliveries       = google_logging_metric.deliveries
    latency          = google_logging_metric.latency
    refresh_failures = google_logging_metric.refresh_failures
  } : key => "logging_googleapis_com:user_${replace(metric.name, "/[^a-z0-9]/", "_")}" }
}

# The dynamic function's URL contains its token, and the platform logs the URL of every
# request. This keeps those entries out of the project's _Default log bucket. The
# function's own line contains more, but no URL. The URL can still be recorded
#   - by sinks of the project, its folder or its organization, which get entries before
#     this exclusion applies: give them the same filter;
#   - by Cloud Trace, which samples up to one request in ten seconds of each instance
#     and cannot be turned off for Cloud Run;
#   - by the logs of a load balancer or proxy in front;
#   - in the jobs: their webhook_config contains the URL.
# A reader of these can send requests to the function, but cannot forge a signature.
resource "google_logging_project_exclusion" "dynamic_requests" {
  project     = local.project
  name        = "${module.dynamic.name}-requests"
  description = "Request logs that would contain the URL token"
  filter      = "logName=\"projects/${var.project_id}/logs/run.googleapis.com%2Frequests\" AND resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${module.dynamic.name}\""
}

resource "google_logging_metric" "deliveries" {
  project     = local.project
  name        = "${var.name}/deliveries"
  description = "Answered requests, one log line each"
  filter      = local.deliveries

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    labels {
      key         = "endpoint"
      description = "static or dynamic"
    }
    labels {
      key         = "outcome"
      description = "The result: published, duplicate, forged …"
    }
    labels {
      key         = "step"
      description = "The step that failed: gate, signature, claim, publish …; empty if none did"
    }
    labels {
      key         = "reason"
      description = "The reason of a rejection, in one word; empty for other outcomes"
    }
    labels {
      key         = "scheme"
      description = "v1, v1a or jwt; empty if the request was rejected before the scheme was known"
    }
    labels {
      key         = "type"
      description = "One of the nine documented event types; empty for other types, or if the type is not known"
    }
  }
  label_extractors = {
    endpoint = "EXTRACT(jsonPayload.endpoint)"
    outcome  = "EXTRACT(jsonPayload.outcome)"
    step     = "EXTRACT(jsonPayload.step)"
    reason   = "EXTRACT(jsonPayload.reason)"
    scheme   = "EXTRACT(jsonPayload.scheme)"
    type     = "REGEXP_EXTRACT(jsonPayload.type, \"${local.event_type_pattern}\")"
  }
}

resource "google_logging_metric" "latency" {
  project         = local.project
  name            = "${var.name}/latency"
  description     = "Latency of genuine deliveries, and of failures of the receiver"
  filter          = "${local.deliveries} AND jsonPayload.outcome=(${join(" OR ", formatlist("\"%s\"", local.ours_to_take))})"
  value_extractor = "EXTRACT(jsonPayload.latency_ms)"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = "ms"

    labels {
      key         = "endpoint"
      description = "static or dynamic"
    }
  }
  label_extractors = {
    endpoint = "EXTRACT(jsonPayload.endpoint)"
  }
  bucket_options {
    exponential_buckets { # 1 ms to 26 s, by factors of 1.5
      num_finite_buckets = 25
      growth_factor      = 1.5
      scale              = 1
    }
  }
}

resource "google_logging_metric" "refresh_failures" {
  project     = local.project
  name        = "${var.name}/refresh_failures"
  description = "Failed refreshes of a secret or of the sender's keys"
  filter      = "${local.receiver_logs} AND jsonPayload.message=\"refresh failed\""

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    labels {
      key         = "of"
      description = "signing secret, url token or signing keys"
    }
  }
  label_extractors = {
    of = "EXTRACT(jsonPayload.of)"
  }
}
