# Metrics, charts and alerts from the log lines of a pass: one line "pass", and one line
# for each missed and each lost job.

locals {
  reconcile_logs = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${var.name}-reconcile\""
  passes         = "${local.reconcile_logs} AND jsonPayload.message=\"pass\""

  # Metrics that count lines. The values of their labels are fields of the lines.
  reconcile_counts = local.reconciles ? {
    complete_passes = {
      description = "Passes in which no step failed"
      filter      = "${local.passes} AND jsonPayload.complete=true"
      labels      = {}
    }
    missed_jobs = {
      description = "Jobs that ended without an event. Each pass that finds a job counts it"
      filter      = "${local.reconcile_logs} AND jsonPayload.message=\"missed job\""
      labels      = { kind = "batch, interaction or video", action = "handed_over, held, reported or deferred" }
    }
    lost_jobs = {
      description = "Registered jobs that the API no longer shows"
      filter      = "${local.reconcile_logs} AND jsonPayload.message=\"lost job\""
      labels      = { kind = "interaction or video" }
    }
  } : {}

  # The metrics' names in PromQL.
  reconcile_series = { for key, metric in merge(google_logging_metric.reconcile, { for metric in google_logging_metric.pass_time : "pass_time" => metric }) :
    key => "logging_googleapis_com:user_${replace(metric.name, "/[^a-z0-9]/", "_")}"
  }

  reconcile_rows = local.reconciles ? [[
    { kind = "scorecard", title = "Complete passes",
    query = "sum(increase(${local.reconcile_series.complete_passes}${local.interval})) or vector(0)" },
    { kind = "STACKED_BAR", title = "Missed jobs, by kind and action",
    query = "sum by (kind, action) (increase(${local.reconcile_series.missed_jobs}${local.interval}))" },
    { kind = "STACKED_BAR", title = "Lost jobs, by kind",
    query = "sum by (kind) (increase(${local.reconcile_series.lost_jobs}${local.interval}))" },
    { kind = "LINE", title = "Duration of a pass, p99 (ms)",
    query = "histogram_quantile(0.99, sum by (le) (rate(${local.reconcile_series.pass_time}_bucket${local.interval})))" },
  ]] : []

  # As in monitoring.tf, an alert has the name and the title of its page.
  reconcile_alerts = { for name, alert in {
    webhook = {
      title    = "The webhook is not enabled"
      severity = "CRITICAL"
      filter   = "${local.passes} AND jsonPayload.webhook_ok=false"
    }
    missed = {
      title    = "Jobs ended without an event"
      severity = "WARNING"
      filter   = "${local.passes} AND (jsonPayload.missed>0 OR jsonPayload.truncated=true)"
    }
    held = {
      title    = "Events of missed jobs are held"
      severity = "ERROR"
      filter   = "${local.passes} AND jsonPayload.held>0"
    }
    lost = {
      title    = "Registered jobs are lost"
      severity = "ERROR"
      filter   = "${local.passes} AND jsonPayload.lost>0"
    }
    passes = {
      title    = "No complete pass"
      severity = "CRITICAL"
      queries = {
        # No complete pass in a window of 15 minutes, for 30 minutes. A new installation
        # has the same time to make its first one.
        "No complete pass for 45 minutes" = {
          query    = "absent(sum(increase(${lookup(local.reconcile_series, "complete_passes", "")}[15m])) > 0)"
          duration = "1800s"
        }
      }
    }
  } : name => alert if local.reconciles }
}

resource "google_logging_metric" "reconcile" {
  for_each = local.reconcile_counts

  project     = local.project
  name        = "${var.name}/${each.key}"
  description = each.value.description
  filter      = each.value.filter

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    dynamic "labels" {
      for_each = each.value.labels
      content {
        key         = labels.key
        description = labels.value
      }
    }
  }
  label_extractors = { for label, _ in each.value.labels : label => "EXTRACT(jsonPayload.${label})" }
}

resource "google_logging_metric" "pass_time" {
  count = local.reconciles ? 1 : 0

  project         = local.project
  name            = "${var.name}/pass_time"
  description     = "Duration of a pass"
  filter          = local.passes
  value_extractor = "EXTRACT(jsonPayload.pass_ms)"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = "ms"
  }
  bucket_options {
    exponential_buckets { # 50 ms to 550 s
      num_finite_buckets = 23
      growth_factor      = 1.5
      scale              = 50
    }
  }
}
