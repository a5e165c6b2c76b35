# scripts/geminihook reads these with `terraform output -json`.

output "project" {
  description = "Id of the project."
  value       = var.project_id
}

output "region" {
  description = "Region of the functions."
  value       = var.region
}

output "static_function" {
  description = "Name of the function for static webhooks, and of its Cloud Run service."
  value       = module.static.name
}

output "dynamic_function" {
  description = "Name of the function for dynamic webhooks, and of its Cloud Run service."
  value       = module.dynamic.name
}

output "static_url" {
  description = "URL of the static function, at which the webhook is registered."
  value       = local.urls.static
}

output "dynamic_url" {
  description = "URL of the dynamic function, without its token. `go run ./scripts/geminihook dynamic-url` prints the URL with its token, for webhook_config.uris."
  value       = local.urls.dynamic
}

output "static_webhook" {
  description = "Whether a webhook is expected at the static function's URL."
  value       = var.static_webhook
}

output "signing_secret_name" {
  description = "Secret with the signing secrets of static webhooks. All enabled versions are accepted."
  value       = google_secret_manager_secret.signing_secret.secret_id
}

output "url_token_secret_name" {
  description = "Secret with the tokens in the dynamic URL. All enabled versions are accepted."
  value       = google_secret_manager_secret.url_token.secret_id
}

output "url_token_required" {
  description = "Whether the dynamic function requires the token."
  value       = var.url_token_required
}

output "routes" {
  description = "Topics of the routes: route = topic."
  value       = { for type, topic in local.routes : type => try(google_pubsub_topic.route[topic].name, topic) }
}

output "subscriptions" {
  description = "Pull subscriptions, also of retired topics: topic = subscription."
  value       = { for topic, subscription in google_pubsub_subscription.route : topic => subscription.name }
}

output "dead_letter_topic" {
  description = "Topic for dead letters: messages that a subscriber did not acknowledge in max_delivery_attempts attempts."
  value       = google_pubsub_topic.dead_letter.name
}

output "dead_letter_subscription" {
  description = "Subscription with the dead letters."
  value       = google_pubsub_subscription.dead_letter.name
}

output "firestore_database" {
  description = "Firestore database with the records of deliveries."
  value       = google_firestore_database.this.name
}

output "firestore_collection" {
  description = "Collection of these records."
  value       = local.collection
}

output "services" {
  description = "Google Cloud services that the module enables."
  value       = sort(keys(google_project_service.this))
}

output "topic_ids" {
  description = "Full ids of the topics of routes and retired_topics, for subscriptions of your own: topic = id."
  value       = { for topic, made in google_pubsub_topic.route : topic => made.id }
}

output "subscription_ids" {
  description = "Full ids of the pull subscriptions, for grants: topic = id."
  value       = { for topic, made in google_pubsub_subscription.route : topic => made.id }
}

output "dead_letter_topic_id" {
  description = "Full id of the topic for dead letters, for dead-letter policies of your own subscriptions."
  value       = google_pubsub_topic.dead_letter.id
}

output "jobs_topic_id" {
  description = "Full id of the topic to which applications publish the names of jobs."
  value       = one(google_pubsub_topic.jobs[*].id)
}

output "pubsub_agent" {
  description = "Pub/Sub's service agent in this project, as an IAM member. It moves dead letters."
  value       = local.pubsub_agent
}

output "service_accounts" {
  description = "Emails of the service accounts: static, dynamic and reconcile run the functions, build builds them, timer calls the reconciler."
  value = merge(
    { static = module.static.email, dynamic = module.dynamic.email },
    local.builds ? { build = local.build_email } : {},
    local.reconciles ? { reconcile = module.reconcile[0].email, timer = local.timer_email } : {},
  )
}

output "record_retention" {
  description = "Retention of the records of deliveries."
  value       = local.environment.RECORD_RETENTION
}

output "project_grants" {
  description = "Commands with which an administrator makes the grants on the project if manage_project_iam is false. Null: Terraform makes them."
  value = var.manage_project_iam ? null : join("", [for grant in local.project_grants : join(" ", [
    "gcloud projects add-iam-policy-binding ${var.project_id} --member=${grant.member} --role=${grant.role}",
    "--condition=${grant.title == "" ? "None" : "'expression=${grant.expression},title=${grant.title}'"}\n",
  ])])
}

output "sources" {
  description = "Source files of each function: function = { path in the archive = path in the repository }."
  value = merge(
    { static = module.static.sources, dynamic = module.dynamic.sources },
    { for key in local.reconcilers : key => module.reconcile[0].sources },
  )
  sensitive = true # it contains no secret; unhidden, it would fill the screen after an apply
}

output "next_steps" {
  description = "Commands to run next, at the root of the repository."
  value = join("", [for step in concat(
    local.reconciles ? ["go run ./scripts/geminihook api-key        # stores $GEMINI_API_KEY for the reconciler"] : [],
    var.static_webhook ? ["go run ./scripts/geminihook register       # registers ${local.urls.static} and stores its secret"] : [],
    ["go run ./scripts/geminihook dynamic-url    # creates the URL token, prints the URL for webhook_config.uris"],
    var.static_webhook ? ["go run ./scripts/geminihook ping           # makes Gemini send a test event and waits for it"] : [],
    ["go run ./scripts/geminihook doctor         # checks the installation"],
    [for topic in [local.routes["*"]] : "gcloud pubsub subscriptions pull ${topic}-pull --project=${var.project_id}" if contains(local.subscribed, topic)],
  ) : "${step}\n"])
}
