# A configuration that calls geminihook as a module and adds the resources of consumers:
# a grant to pull from a subscription of geminihook, a push subscription to Cloud Run, and
# a table of all events in BigQuery.
#
#	terraform init
#	terraform apply -var project_id=PROJECT …
#	go run ./scripts/geminihook register --terraform examples/terraform

terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 7.33, < 8.0"
    }
    archive = {
      source  = "hashicorp/archive"
      version = ">= 2.4, < 3.0"
    }
  }
}

locals {
  labels = { app = "geminihook" } # as in the module
}

module "geminihook" {
  # From elsewhere: "git::https://github.com/geminihook/geminihook//terraform?ref=COMMIT"
  source = "../../terraform"

  project_id = var.project_id
  region     = var.region
}

# The geminihook command finds the deployment by this output. The name does not matter.
output "geminihook" {
  description = "All outputs of the module."
  value       = module.geminihook
  sensitive   = true # because the module's output sources is sensitive; it contains no secret
}

# 1. Batch events, pulled. If several programs pull, each message goes to one of them.

resource "google_pubsub_subscription_iam_member" "consumer" {
  subscription = module.geminihook.subscription_ids[module.geminihook.routes["batch"]]
  role         = "roles/pubsub.subscriber"
  member       = var.consumer
}

# 2. Video events, pushed to a Cloud Run service that only the account below may call.

resource "google_service_account" "push" {
  project      = var.project_id
  account_id   = "geminihook-push"
  display_name = "Pushes video events"
}

resource "google_cloud_run_v2_service_iam_member" "push" {
  project  = var.project_id
  location = var.region
  name     = var.push_service
  role     = "roles/run.invoker"
  member   = google_service_account.push.member
}

resource "google_pubsub_subscription" "push" {
  project              = var.project_id
  name                 = "geminihook-video-push"
  topic                = module.geminihook.topic_ids[module.geminihook.routes["video"]]
  ack_deadline_seconds = 60
  labels               = local.labels

  push_config {
    push_endpoint = var.push_endpoint

    oidc_token {
      service_account_email = google_service_account.push.email
    }
    no_wrapper {
      write_metadata = true # sends the attributes as headers, so that the request is a CloudEvent
    }
  }
  expiration_policy {
    ttl = ""
  }
  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }
  dead_letter_policy {
    dead_letter_topic     = module.geminihook.dead_letter_topic_id
    max_delivery_attempts = 10
  }
}

# Pub/Sub acknowledges the messages that it moves to the dead-letter topic.
resource "google_pubsub_subscription_iam_member" "dead_letters" {
  project      = var.project_id
  subscription = google_pubsub_subscription.push.name
  role         = "roles/pubsub.subscriber"
  member       = module.geminihook.pubsub_agent
}

# 3. All events in one BigQuery table, for later queries.

resource "google_bigquery_table" "events" {
  project             = var.project_id
  dataset_id          = var.bigquery_dataset
  table_id            = "events"
  deletion_protection = true
  labels              = local.labels

  time_partitioning {
    type  = "DAY"
    field = "publish_time"
  }
  schema = jsonencode([
    { name = "subscription_name", type = "STRING" },
    { name = "message_id", type = "STRING" },
    { name = "publish_time", type = "TIMESTAMP" },
    { name = "attributes", type = "JSON" },
    { name = "data", type = "STRING" },
  ])
}

resource "google_bigquery_dataset_iam_member" "events" {
  project    = var.project_id
  dataset_id = var.bigquery_dataset
  role       = "roles/bigquery.dataEditor"
  member     = module.geminihook.pubsub_agent
}

resource "google_pubsub_subscription" "events" {
  for_each = module.geminihook.topic_ids

  project = var.project_id
  name    = "${each.key}-bigquery"
  topic   = each.value
  labels  = local.labels

  bigquery_config {
    table          = "${var.project_id}.${google_bigquery_table.events.dataset_id}.${google_bigquery_table.events.table_id}"
    write_metadata = true
  }
  expiration_policy {
    ttl = ""
  }

  depends_on = [google_bigquery_dataset_iam_member.events]
}
