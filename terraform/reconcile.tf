# The function that publishes the events of jobs whose delivery never came, and its timer.

locals {
  reconciles  = var.reconcile != "off"
  reconcilers = local.reconciles ? ["reconcile"] : [] # for expressions that add one key

  timer_email = try(var.service_accounts["timer"], one(google_service_account.timer[*].email))

  # A pass ends after two minutes (shared/reconcile, DefaultTimeout), before the platform
  # ends the request. The platform ends the request before Cloud Scheduler's attempt
  # deadline, so that passes do not overlap.
  pass_timeout_seconds          = 150
  pass_attempt_deadline_seconds = 180
}

module "reconcile" {
  source = "./function"
  count  = local.reconciles ? 1 : 0

  name        = "${var.name}-reconcile"
  account     = contains(keys(var.service_accounts), "reconcile") ? null : "${var.name}-recon" # at most 30 characters
  email       = lookup(var.service_accounts, "reconcile", null)
  description = "Publishes the events of jobs whose delivery never came"
  folder      = "functions/reconcile"
  entry_point = "Reconcile"
  image       = local.images.reconcile
  invoker     = "serviceAccount:${local.timer_email}"

  settings = merge(local.function, {
    ingress         = "ALLOW_INTERNAL_ONLY" # includes Cloud Scheduler of the same project
    concurrency     = 1
    min_instances   = 0
    max_instances   = 1
    timeout_seconds = local.pass_timeout_seconds
  })

  environment = merge(local.environment, {
    API_KEY_SECRET_NAME    = google_secret_manager_secret.api_key[0].secret_id
    RECONCILE              = var.reconcile
    GRACE                  = "${var.grace_minutes}m"
    LOOK_BACK              = "${var.lookback_hours}h"
    REENABLE               = tostring(var.reenable)
    STATIC_WEBHOOK         = tostring(var.static_webhook)
    STATIC_URL             = local.urls.static
    DYNAMIC_URL            = local.urls.dynamic
    JOBS_SUBSCRIPTION      = google_pubsub_subscription.jobs[0].name
    JOBS_DEAD_LETTER_TOPIC = google_pubsub_topic.jobs_rejected[0].name
    JOBS_COLLECTION        = local.jobs_collection
    STATE_COLLECTION       = local.state_collection
    PUBLISH_UNKNOWN        = tostring(var.publish_unknown)
  })

  ready = concat(
    local.ready,
    values(google_firestore_field.queried)[*].id,
    values(google_firestore_field.jobs)[*].id,
    values(google_secret_manager_secret_iam_member.api_key)[*].id,
    google_pubsub_subscription_iam_member.jobs[*].id,
    google_pubsub_topic_iam_member.jobs_rejected[*].id,
    google_pubsub_subscription.jobs_rejected[*].id,
  )
}

resource "google_service_account" "timer" {
  count = local.reconciles && !contains(keys(var.service_accounts), "timer") ? 1 : 0

  project      = local.project
  account_id   = "${var.name}-timer"
  display_name = "Calls the function ${var.name}-reconcile"
}

resource "google_cloud_scheduler_job" "reconcile" {
  count = local.reconciles ? 1 : 0

  project          = local.project
  region           = var.region
  name             = "${var.name}-reconcile"
  description      = "Starts a pass"
  schedule         = var.reconcile_schedule
  time_zone        = "Etc/UTC"
  attempt_deadline = "${local.pass_attempt_deadline_seconds}s"

  # The next pass repeats a failed one completely.
  retry_config {
    retry_count = 0
  }
  http_target {
    http_method = "POST"
    uri         = module.reconcile[0].uri

    oidc_token {
      service_account_email = local.timer_email
      audience              = module.reconcile[0].uri
    }
  }

  depends_on = [module.reconcile] # includes the grant to call it
}
