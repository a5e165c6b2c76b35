# The names of started jobs that the Gemini API cannot list: interactions and videos.
# An application publishes a name to the topic; the reconciler pulls it and stores a
# document. These resources are not protected, so that reconcile = "off" removes them in
# one apply. Only names that the reconciler has not pulled are lost.

locals {
  jobs_collection  = "jobs"
  state_collection = "reconcile"

  # A name that is delivered again after the document of its job has expired would
  # register the job again. Documents of closed jobs are kept for eight days (keepClosed
  # in shared/jobs).
  jobs_retention = "${min(var.message_retention_days, 7) * 86400}s"

  # The fields of registered jobs and of notes. Jobs are queried by their state. Notes are
  # not queried and do not expire: there are only a few.
  jobs_fields = local.reconciles ? merge(
    { for field in ["ended_at", "expire_at", "kind", "missed_since", "misses", "name", "next_at", "registered_at", "state"] :
      "jobs/${field}" => { collection = local.jobs_collection, field = field }
    },
    { for field in ["at", "form", "job", "kind"] :
      "notes/${field}" => { collection = local.state_collection, field = field }
    },
  ) : {}
}

resource "google_pubsub_topic" "jobs" {
  count = local.reconciles ? 1 : 0

  project                    = local.project
  name                       = "${var.name}-jobs"
  message_retention_duration = local.jobs_retention
  deletion_policy            = "DELETE"
  kms_key_name               = var.kms_key
  labels                     = local.labels

  dynamic "message_storage_policy" {
    for_each = length(var.message_regions) == 0 ? [] : [true]
    content {
      allowed_persistence_regions = var.message_regions
      enforce_in_transit          = true
    }
  }
}

# There is no dead-letter policy: if the database fails, names must stay on the
# subscription. The reconciler itself moves messages that do not contain a job's name to
# the topic below.
resource "google_pubsub_subscription" "jobs" {
  count = local.reconciles ? 1 : 0

  project                    = local.project
  name                       = "${var.name}-jobs"
  topic                      = google_pubsub_topic.jobs[0].name
  ack_deadline_seconds       = 60 # a pass stores the names that it pulled in much less
  message_retention_duration = local.jobs_retention
  deletion_policy            = "DELETE"
  labels                     = local.labels

  expiration_policy {
    ttl = ""
  }
  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }
}

resource "google_pubsub_subscription_iam_member" "jobs" {
  count = local.reconciles ? 1 : 0

  project      = local.project
  subscription = google_pubsub_subscription.jobs[0].name
  role         = "roles/pubsub.subscriber"
  member       = module.reconcile[0].member
}

resource "google_pubsub_topic_iam_member" "job_publishers" {
  for_each = local.reconciles ? toset(var.job_publishers) : toset([])

  project = local.project
  topic   = google_pubsub_topic.jobs[0].name
  role    = "roles/pubsub.publisher"
  member  = each.key
}

# Copies of messages that do not contain a job's name.

resource "google_pubsub_topic" "jobs_rejected" {
  count = local.reconciles ? 1 : 0

  project                    = local.project
  name                       = "${var.name}-jobs-rejected"
  message_retention_duration = local.retention
  deletion_policy            = "DELETE"
  kms_key_name               = var.kms_key
  labels                     = local.labels

  dynamic "message_storage_policy" {
    for_each = length(var.message_regions) == 0 ? [] : [true]
    content {
      allowed_persistence_regions = var.message_regions
      enforce_in_transit          = true
    }
  }
}

resource "google_pubsub_subscription" "jobs_rejected" {
  count = local.reconciles ? 1 : 0

  project                    = local.project
  name                       = "${var.name}-jobs-rejected"
  topic                      = google_pubsub_topic.jobs_rejected[0].name
  ack_deadline_seconds       = var.ack_deadline_seconds
  message_retention_duration = local.retention
  deletion_policy            = "DELETE"
  labels                     = local.labels

  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_topic_iam_member" "jobs_rejected" {
  count = local.reconciles ? 1 : 0

  project = local.project
  topic   = google_pubsub_topic.jobs_rejected[0].name
  role    = "roles/pubsub.publisher"
  member  = module.reconcile[0].member
}

# As in dedup.tf, a field that is not in the list would be indexed.
resource "google_firestore_field" "jobs" {
  for_each = local.jobs_fields

  project    = local.project
  database   = google_firestore_database.this.name
  collection = each.value.collection
  field      = each.value.field

  dynamic "ttl_config" {
    for_each = each.value.field == "expire_at" ? [true] : []
    content {}
  }
  index_config {
    dynamic "indexes" {
      for_each = each.value.field == "state" ? ["ASCENDING"] : []
      content {
        order       = indexes.value
        query_scope = "COLLECTION"
      }
    }
  }
}
