# scripts/geminihook reads these: `terraform output -json`.

output "project" {
  description = "The project's id."
  value       = var.project_id
}

output "region" {
  description = "The functions' region."
  value       = var.region
}

output "static_function" {
  description = "Name of the function for the project's webhooks, and of its Cloud Run service."
  value       = module.static.name
}

output "dynamic_function" {
  description = "Name of the function for webhooks named in single requests, and of its Cloud Run service."
  value       = module.dynamic.name
}

output "static_url" {
  description = "The URL to register."
  value       = local.urls.static
}

output "dynamic_url" {
  description = "The URL for webhook_config.uris, without its token: `go run ./scripts/geminihook dynamic-url` prints it whole."
  value       = local.urls.dynamic
}

output "signing_secret_name" {
  description = "The secret whose enabled versions sign the project's webhooks."
  value       = google_secret_manager_secret.signing_secret.secret_id
}

output "url_token_secret_name" {
  description = "The secret whose enabled versions are the tokens in the dynamic URL."
  value       = google_secret_manager_secret.url_token.secret_id
}

output "url_token_required" {
  description = "Whether the dynamic function demands the token."
  value       = var.url_token_required
}

output "routes" {
  description = "Where events of a type go: route = topic."
  value       = { for type, topic in local.routes : type => try(google_pubsub_topic.route[topic].name, topic) }
}

output "subscriptions" {
  description = "The pull subscriptions, of retired topics as well: topic = subscription."
  value       = { for topic, subscription in google_pubsub_subscription.route : topic => subscription.name }
}

output "dead_letter_topic" {
  description = "Where messages go that a subscriber gave up on."
  value       = google_pubsub_topic.dead_letter.name
}

output "dead_letter_subscription" {
  description = "Where they can be taken from."
  value       = google_pubsub_subscription.dead_letter.name
}

output "firestore_database" {
  description = "The database that remembers deliveries."
  value       = google_firestore_database.this.name
}

output "firestore_collection" {
  description = "The collection in it."
  value       = local.collection
}

output "services" {
  description = "The services that must be on."
  value       = sort(keys(google_project_service.this))
}

output "topic_ids" {
  description = "The topics of the routes and the retired ones by their full ids, for subscriptions of your own: topic = id."
  value       = { for topic, made in google_pubsub_topic.route : topic => made.id }
}

output "subscription_ids" {
  description = "The subscriptions by their full ids, for grants: topic = id."
  value       = { for topic, made in google_pubsub_subscription.route : topic => made.id }
}

output "dead_letter_topic_id" {
  description = "The full id of the topic for dead letters, for subscriptions of your own."
  value       = google_pubsub_topic.dead_letter.id
}

output "jobs_topic_id" {
  description = "The full id of the topic to which applications publish the names of jobs."
  value       = one(google_pubsub_topic.jobs[*].id)
}

output "pubsub_agent" {
  description = "Pub/Sub's own account in this project, as grants name it: it moves dead letters."
  value       = local.pubsub_agent
}

output "service_accounts" {
  description = "The emails of the service accounts, by what they do: static, dynamic, reconcile, build, timer."
  value = merge(
    { static = module.static.email, dynamic = module.dynamic.email },
    local.builds ? { build = local.build_email } : {},
    local.reconciles ? { reconcile = module.reconcile[0].email, timer = local.timer_email } : {},
  )
}

output "record_retention" {
  description = "How long the records of deliveries are kept."
  value       = local.environment.RECORD_RETENTION
}

output "project_grants" {
  description = "The grants on the project that an administrator makes if manage_project_iam is false, as commands. Null: Terraform makes them."
  value = var.manage_project_iam ? null : join("", [for grant in local.project_grants : join(" ", [
    "gcloud projects add-iam-policy-binding ${var.project_id} --member=${grant.member} --role=${grant.role}",
    "--condition=${grant.title == "" ? "None" : "'expression=${grant.expression},title=${grant.title}'"}\n",
  ])])
}

output "sources" {
  description = "What each function is built from: function = { path in the archive = path in the repository }."
  value = merge(
    { static = module.static.sources, dynamic = module.dynamic.sources },
    { for key in local.reconcilers : key => module.reconcile[0].sources },
  )
  sensitive = true # it is not: it would push the next steps off the screen
}

output "next_steps" {
  description = "What to do now, in the repository's root."
  value = join("", [for step in concat(
    local.reconciles ? ["go run ./scripts/geminihook api-key        # stores $GEMINI_API_KEY for the reconciler"] : [],
    [
      "go run ./scripts/geminihook register       # registers ${local.urls.static}, stores its secret",
      "go run ./scripts/geminihook ping           # asks for an event, waits until it has arrived",
      "go run ./scripts/geminihook dynamic-url    # prints the URL for webhook_config.uris, token included",
      "go run ./scripts/geminihook doctor         # checks the whole way",
    ],
    [for topic in [local.routes["*"]] : "gcloud pubsub subscriptions pull ${topic}-pull --project=${var.project_id}" if contains(local.subscribed, topic)],
  ) : "${step}\n"])
}
