# scripts/geminihook reads these, too. If there is no reconciler, all but the first are null.

output "reconcile" {
  description = "The mode of the reconciler: off, report, auto or publish. If off, the outputs about it are null."
  value       = var.reconcile
}

output "reconcile_function" {
  description = "Name of the function that reconciles, and of its Cloud Run service."
  value       = one(module.reconcile[*].name)
}

output "api_key_secret_name" {
  description = "The secret that holds the reconciler's Gemini API key."
  value       = one(google_secret_manager_secret.api_key[*].secret_id)
}

output "jobs_topic" {
  description = "The topic to which applications publish the names of interactions and videos that they start."
  value       = one(google_pubsub_topic.jobs[*].name)
}

output "jobs_subscription" {
  description = "The subscription from which the reconciler pulls those names."
  value       = one(google_pubsub_subscription.jobs[*].name)
}

output "jobs_dead_letter_topic" {
  description = "The topic for copies of messages that name no job, and their subscription."
  value       = one(google_pubsub_topic.jobs_rejected[*].name)
}

output "jobs_collection" {
  description = "The collection of registered jobs."
  value       = local.reconciles ? local.jobs_collection : null
}

output "state_collection" {
  description = "The collection of the reconciler's notes."
  value       = local.reconciles ? local.state_collection : null
}

output "grace" {
  description = "How long after a job's end the reconciler waits for its event."
  value       = local.reconciles ? "${var.grace_minutes}m" : null
}

output "look_back" {
  description = "For how long after its end the reconciler looks at a batch."
  value       = local.reconciles ? "${var.lookback_hours}h" : null
}

output "reenable" {
  description = "Whether the reconciler enables a webhook again that Gemini disabled."
  value       = local.reconciles ? var.reenable : null
}

output "static_webhook" {
  description = "Whether the reconciler expects a webhook at the static function's URL."
  value       = local.reconciles ? var.static_webhook : null
}

output "publish_unknown" {
  description = "Whether the reconciler publishes events for statuses of which no event is documented."
  value       = local.reconciles ? var.publish_unknown : null
}
