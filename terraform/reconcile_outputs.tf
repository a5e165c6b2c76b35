# scripts/geminihook reads these too. If there is no reconciler, all except the first are
# null.

output "reconcile" {
  description = "Mode of the reconciler: off, report, auto or publish. If it is off, the other outputs about the reconciler are null."
  value       = var.reconcile
}

output "reconcile_function" {
  description = "Name of the function that reconciles, and of its Cloud Run service."
  value       = one(module.reconcile[*].name)
}

output "api_key_secret_name" {
  description = "Secret with the reconciler's Gemini API key."
  value       = one(google_secret_manager_secret.api_key[*].secret_id)
}

output "jobs_topic" {
  description = "Topic to which applications publish the names of interactions and videos that they start."
  value       = one(google_pubsub_topic.jobs[*].name)
}

output "jobs_subscription" {
  description = "Subscription from which the reconciler pulls these names."
  value       = one(google_pubsub_subscription.jobs[*].name)
}

output "jobs_dead_letter_topic" {
  description = "Topic for copies of messages that do not contain a job's name. Its subscription has the same name."
  value       = one(google_pubsub_topic.jobs_rejected[*].name)
}

output "jobs_collection" {
  description = "Collection of registered jobs."
  value       = local.reconciles ? local.jobs_collection : null
}

output "state_collection" {
  description = "Collection of the reconciler's notes."
  value       = local.reconciles ? local.state_collection : null
}

output "grace" {
  description = "Time after the end of a job for which the reconciler waits for its delivery."
  value       = local.reconciles ? "${var.grace_minutes}m" : null
}

output "look_back" {
  description = "Time after the end of a batch during which passes look at it."
  value       = local.reconciles ? "${var.lookback_hours}h" : null
}

output "reenable" {
  description = "Whether the reconciler enables a webhook that Gemini disabled."
  value       = local.reconciles ? var.reenable : null
}

output "publish_unknown" {
  description = "Whether the reconciler publishes events for statuses without a documented event."
  value       = local.reconciles ? var.publish_unknown : null
}
