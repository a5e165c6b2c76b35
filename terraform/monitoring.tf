# The alerts. Each has its runbook page.

locals {
  # A regular expression that matches the subscriptions' names. Of the characters that
  # an id may contain, only . and + have a meaning in a regular expression. In brackets
  # they need no backslash, which a PromQL string would require twice.
  subscriptions = join("|", [for subscription in google_pubsub_subscription.route : replace(subscription.name, "/([.+])/", "[$1]")])
  backlog       = "pubsub_googleapis_com:subscription_oldest_unacked_message_age{monitored_resource=\"pubsub_subscription\",subscription_id=~\"${local.subscriptions}\"}"
  dead_letters  = "pubsub_googleapis_com:subscription_num_undelivered_messages{monitored_resource=\"pubsub_subscription\",subscription_id=\"${google_pubsub_subscription.dead_letter.name}\"}"
  refused_by_platform = join("", [
    "run_googleapis_com:request_count{monitored_resource=\"cloud_run_revision\",",
    "service_name=~\"${module.static.name}|${module.dynamic.name}\",response_code=~\"403|404|429|5..\"}",
  ])
  check_passed = "monitoring_googleapis_com:uptime_check_check_passed{monitored_resource=\"uptime_url\",check_id="
  threshold    = var.alert_thresholds

  # An alert has the name and the title of its page in runbooks/. It has either queries,
  # each of which can raise it, or a filter: then the first matching log entry raises it.
  alerts = merge(local.reconcile_alerts, {
    refused = {
      title    = "Deliveries rejected: signature or URL token"
      severity = "ERROR"
      queries = {
        "More than ${local.threshold.refused} in 10 minutes" = {
          query    = "sum by (endpoint, outcome) (increase(${local.series.deliveries}{outcome=~\"forged|unauthorized\"}[10m])) > ${local.threshold.refused}"
          duration = "0s"
        }
      }
    }
    stale = {
      title    = "Genuine delivery rejected: timestamp out of bounds"
      severity = "ERROR"
      filter   = "${local.deliveries} AND jsonPayload.outcome=\"stale\""
    }
    audience = {
      title    = "JWT rejected: unknown audience"
      severity = "ERROR"
      filter   = "${local.deliveries} AND jsonPayload.outcome=\"audience\""
    }
    unavailable = {
      title    = "Receiver unavailable"
      severity = "CRITICAL"
      queries = {
        "The receiver answered 503" = {
          query = join("", [
            "sum(increase(${local.series.deliveries}{outcome=\"unavailable\"}[30m]))",
            " / sum(increase(${local.series.deliveries}{outcome=~\"${join("|", local.ours_to_take)}\"}[30m])) > ${local.threshold.unavailable_ratio}",
            " and sum(increase(${local.series.deliveries}{outcome=\"unavailable\"}[30m])) > 2",
          ])
          duration = "0s"
        }
        # The functions log no line for a request that the platform answers.
        "The platform answered for the receiver" = {
          query = join("", [
            "sum(increase(${local.refused_by_platform}[30m]))",
            " - (sum(increase(${local.series.deliveries}{outcome=~\"${join("|", local.answered_503)}\"}[30m])) or vector(0)) > 5",
          ])
          duration = "0s"
        }
      }
    }
    overloaded = {
      title    = "More concurrent requests than an instance serves"
      severity = "WARNING"
      queries = {
        "More than 10 in 10 minutes" = {
          query    = "sum by (endpoint) (increase(${local.series.deliveries}{outcome=\"overloaded\"}[10m])) > 10"
          duration = "0s"
        }
      }
    }
    unreachable = {
      title    = "A function does not answer"
      severity = "CRITICAL"
      # Half of the checks in ten minutes, which are two from each of six places. If only
      # one place fails, the cause is the checker.
      queries = { for key, check in google_monitoring_uptime_check_config.function :
        "No 405 to a GET: ${local.names[key]}" => {
          query    = "avg(avg_over_time(${local.check_passed}\"${check.uptime_check_id}\"}[10m])) < 0.5"
          duration = "0s"
        }
      }
    }
    latency = {
      title    = "High delivery latency"
      severity = "WARNING"
      queries = {
        # The duration is longer than the window, so that one cold start is not enough.
        "p99 over ${local.threshold.latency_ms} ms" = {
          query    = "histogram_quantile(0.99, sum by (le, endpoint) (rate(${local.series.latency}_bucket[10m]))) > ${local.threshold.latency_ms}"
          duration = "900s"
        }
      }
    }
    dead-letters = {
      title    = "Dead letters"
      severity = "ERROR"
      queries = {
        "A message became a dead letter" = {
          query    = "max_over_time(${local.dead_letters}[10m]) > 0"
          duration = "0s"
        }
      }
    }
    backlog = {
      title    = "Backlog on a subscription"
      severity = "WARNING"
      queries = {
        "Oldest unacknowledged message over ${local.threshold.backlog_seconds} s" = {
          query    = "max by (subscription_id) (${local.backlog}) > ${local.threshold.backlog_seconds}"
          duration = "300s"
        }
      }
    }
    silence = {
      title    = "No deliveries"
      severity = "WARNING"
      queries = {
        "No event published for ${local.threshold.silence_hours} hours" = {
          query = join("", [
            "sum(increase(${local.series.deliveries}{outcome=\"published\"}[${7 * local.threshold.silence_hours}h])) > 0",
            " unless sum(increase(${local.series.deliveries}{outcome=\"published\"}[${local.threshold.silence_hours}h])) > 0",
          ])
          duration = "0s"
        }
      }
    }
    secret = {
      title    = "A secret has no enabled version"
      severity = "CRITICAL"
      # Without a static webhook there is no signing secret.
      filter = join("", [
        "${local.receiver_logs} AND jsonPayload.message=\"refresh failed\" AND jsonPayload.reason=\"none_in_force\"",
        var.static_webhook ? "" : " AND resource.labels.service_name=\"${module.dynamic.name}\"",
      ])
    }
  })
}

resource "google_monitoring_alert_policy" "this" {
  for_each = local.alerts

  project               = local.project
  display_name          = "${var.name}: ${each.value.title}"
  severity              = each.value.severity
  combiner              = "OR"
  notification_channels = var.notification_channels
  user_labels           = local.labels

  dynamic "conditions" {
    for_each = lookup(each.value, "queries", {})
    content {
      display_name = conditions.key
      condition_prometheus_query_language {
        query               = conditions.value.query
        duration            = conditions.value.duration
        evaluation_interval = "60s"

        # A metric exists from its first value on. With validation, an alert on it could
        # not be created in the same apply.
        disable_metric_validation = true
      }
    }
  }
  dynamic "conditions" {
    for_each = compact([lookup(each.value, "filter", "")])
    content {
      display_name = each.value.title
      condition_matched_log {
        filter = conditions.value
      }
    }
  }

  alert_strategy {
    auto_close = "86400s"

    dynamic "notification_rate_limit" {
      for_each = compact([lookup(each.value, "filter", "")])
      content {
        period = "3600s"
      }
    }
  }

  # The alert contains the page, because its reader may not have the repository.
  documentation {
    mime_type = "text/markdown"
    content   = "${local.runbooks[each.key]}\n${local.runbook_end}"
    links {
      display_name = "Runbook"
      url          = "${var.runbooks_url}/${each.key}.md"
    }
  }
}
