# What is read from the log lines that the functions write (shared/cloudlog,
# shared/receiver), and what the platform must not write.

locals {
  receiver_logs = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=(\"${module.static.name}\" OR \"${module.dynamic.name}\")"
  deliveries    = "${local.receiver_logs} AND jsonPayload.message=\"delivery\""

  # The documented types, so that a label has few values whatever is sent.
  event_types = [
    "batch.succeeded", "batch.failed", "batch.expired", "batch.cancelled",
    "interaction.completed", "interaction.requires_action", "interaction.failed", "interaction.cancelled",
    "video.generated",
  ]
  event_type_pattern = "^(${join("|", [for type in local.event_types : replace(type, ".", "[.]")])})$"

  # The outcomes of genuine deliveries and of our own faults. Shares and percentiles are
  # taken of these: of all requests, anybody could dilute them with rubbish, and the
  # uptime checks would.
  ours_to_take = ["published", "duplicate", "mismatch", "unmarked", "stale", "busy", "unavailable"]

  # The outcomes that the receiver answers with 503. The last two are no faults of ours:
  # a stranger can bring them about.
  answered_503 = ["busy", "unavailable", "overloaded", "slow_body"]

  # As queries name them.
  series = { for key, metric in {
    deliveries       = google_logging_metric.deliveries
    latency          = google_logging_metric.latency
    refresh_failures = google_logging_metric.refresh_failures
  } : key => "logging_googleapis_com:user_${replace(metric.name, "/[^a-z0-9]/", "_")}" }
}

# The dynamic function's URL holds its token, and the platform logs the URL of every
# request. This keeps those entries out of the project's _Default log bucket; our
# own line says more, and no URL. It does not reach everything that may record one:
#   - sinks of the project's own making, and those of its folder or organization,
#     which see entries before this exclusion does: give them the same filter;
#   - Cloud Trace, which samples up to one request in ten seconds of each instance
#     and cannot be turned off for Cloud Run;
#   - a load balancer or proxy put in front, with logs of its own;
#   - the jobs themselves: whoever may read a job's webhook_config reads the URL.
# Who can read those can post to the function. They still cannot forge a signature.
resource "google_logging_project_exclusion" "dynamic_requests" {
  project     = local.project
  name        = "${module.dynamic.name}-requests"
  description = "Request logs that would hold the URL token"
  filter      = "logName=\"projects/${var.project_id}/logs/run.googleapis.com%2Frequests\" AND resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${module.dynamic.name}\""
}

resource "google_logging_metric" "deliveries" {
  project     = local.project
  name        = "${var.name}/deliveries"
  description = "Requests answered, one log line each"
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
      description = "What became of it"
    }
    labels {
      key         = "step"
      description = "Where it ended, if it was not taken: gate, signature, claim, publish …"
    }
    labels {
      key         = "reason"
      description = "Why it was refused, in one word; empty for anything else"
    }
    labels {
      key         = "scheme"
      description = "v1, v1a or jwt; empty where refused before that is known"
    }
    labels {
      key         = "type"
      description = "One of the nine documented event types; empty for any other, or where the type is not known"
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
  description     = "How long a genuine delivery, or one that we failed to take, took"
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
    exponential_buckets { # 1 ms to 26 s, each half as long again
      num_finite_buckets = 25
      growth_factor      = 1.5
      scale              = 1
    }
  }
}

resource "google_logging_metric" "refresh_failures" {
  project     = local.project
  name        = "${var.name}/refresh_failures"
  description = "A secret, or the sender's keys, could not be read anew"
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
