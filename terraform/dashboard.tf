locals {
  interval = "[$${__interval}]"

  # Top to bottom: totals, deliveries, rejections, latency, failures, backlog, and the
  # reconciler. The charts of a row share its width.
  rows = concat([
    [
      { kind = "scorecard", title = "Published",
      query = "sum(increase(${local.series.deliveries}{outcome=\"published\"}${local.interval})) or vector(0)" },
      { kind = "scorecard", title = "Failed in the receiver (503)",
      query = "sum(increase(${local.series.deliveries}{outcome=\"unavailable\"}${local.interval})) or vector(0)" },
      { kind = "scorecard", title = "Oldest unacknowledged message (s)",
      query = "max(${local.backlog})" },
      { kind = "scorecard", title = "Dead letters",
      query = local.dead_letters },
    ],
    [
      { kind = "STACKED_BAR", title = "Answers, by outcome",
      query = "sum by (outcome) (increase(${local.series.deliveries}${local.interval}))" },
      { kind = "STACKED_BAR", title = "Published, by event type",
      query = "label_replace(sum by (type) (increase(${local.series.deliveries}{outcome=\"published\"}${local.interval})), \"type\", \"other\", \"type\", \"\")" },
    ],
    [
      { kind = "STACKED_BAR", title = "Rejected, by reason",
      query = "sum by (endpoint, outcome, reason) (increase(${local.series.deliveries}{outcome=~\"unauthorized|malformed|forged|audience|stale|too_large|slow_body|overloaded\"}${local.interval}))" },
      { kind = "STACKED_BAR", title = "Genuine, by scheme",
      query = "sum by (scheme) (increase(${local.series.deliveries}{outcome=~\"published|duplicate|mismatch|unmarked|stale\"}${local.interval}))" },
    ],
    [
      { kind = "LINE", title = "Latency, median (ms)",
      query = "histogram_quantile(0.5, sum by (le, endpoint) (rate(${local.series.latency}_bucket${local.interval})))" },
      { kind = "LINE", title = "Latency, p99 (ms)",
      query = "histogram_quantile(0.99, sum by (le, endpoint) (rate(${local.series.latency}_bucket${local.interval})))" },
    ],
    [
      { kind = "STACKED_BAR", title = "Failed in the receiver (503), by step",
      query = "sum by (endpoint, step) (increase(${local.series.deliveries}{outcome=\"unavailable\"}${local.interval}))" },
      { kind = "STACKED_BAR", title = "Failed refreshes of secrets and keys",
      query = "sum by (of) (increase(${local.series.refresh_failures}${local.interval}))" },
      { kind = "STACKED_BAR", title = "403, 404, 429 and 5xx, of the receiver or the platform",
      query = "sum by (service_name, response_code) (increase(${local.refused_by_platform}${local.interval}))" },
    ],
    [
      { kind = "LINE", title = "Oldest unacknowledged message, by subscription (s)",
      query = "max by (subscription_id) (${local.backlog})" },
    ],
  ], local.reconcile_rows)
}

# The dashboard depends on everything else, so that it is created last and destroyed
# first. If deletion protection is on, `terraform destroy` fails at the dashboard, before
# it has destroyed anything. Otherwise it would destroy the functions, and then fail at
# the database.
resource "google_monitoring_dashboard" "this" {
  project         = local.project
  deletion_policy = local.deletion_policy

  dashboard_json = jsonencode({
    displayName = var.name
    mosaicLayout = {
      columns = 12
      tiles = flatten([for y, row in local.rows : [for x, chart in row : {
        xPos   = x * 12 / length(row)
        yPos   = y * 4
        width  = 12 / length(row)
        height = 4
        widget = merge(
          { title = chart.title },
          { for kind, widget in {
            scorecard = { timeSeriesQuery = { prometheusQuery = chart.query } }
            xyChart   = { dataSets = [{ plotType = chart.kind, timeSeriesQuery = { prometheusQuery = chart.query } }] }
          } : kind => widget if(kind == "scorecard") == (chart.kind == "scorecard") },
        )
      }]])
    }
  })

  # The resources that its queries do not name.
  depends_on = [
    module.static,
    module.dynamic,
    google_cloud_scheduler_job.reconcile,
    google_firestore_field.queried,
    google_firestore_field.jobs,
    google_firestore_field.unindexed,
    google_logging_project_exclusion.dynamic_requests,
    google_monitoring_alert_policy.this,
    google_pubsub_subscription.jobs,
    google_pubsub_subscription_iam_member.consumers,
    google_pubsub_subscription_iam_member.dead_letter,
    google_pubsub_topic_iam_member.dead_letter,
    google_pubsub_topic_iam_member.job_publishers,
    terraform_data.installation,
  ]
}
