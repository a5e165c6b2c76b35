# Topics, subscriptions, and the grants on them.

locals {
  routes = coalesce(var.routes, tomap({
    batch       = "${var.name}-batch"
    interaction = "${var.name}-interaction"
    video       = "${var.name}-video"
    "*"         = "${var.name}-other"
  }))

  # Topics that are not for events. Routes must not use their names, even if they do not
  # exist.
  own_topics = ["${var.name}-dead-letter", "${var.name}-jobs", "${var.name}-jobs-rejected"]

  # The topics to create. A topic with a full name, projects/P/topics/T, belongs to
  # another configuration, with its subscriptions and the grant to publish to it.
  topics = toset(concat([for topic in values(local.routes) : topic if !startswith(topic, "projects/")], tolist(var.retired_topics)))

  # The pull subscriptions, by topic.
  subscribed = toset([for topic in local.topics : topic if try(var.subscriptions[topic].pull, true)])
  retention  = "${var.message_retention_days * 86400}s"

  # Messages on a topic or a subscription were answered 204, so Gemini does not send them
  # again.
  deletion_policy = var.deletion_protection ? "PREVENT" : "DELETE"

  pubsub_agent = "serviceAccount:service-${local.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

# If a route is moved to another topic, the old topic, its subscription and its grants are
# destroyed. create_before_destroy makes Terraform change the functions before that.
# Otherwise it would destroy the grants first and then fail at the protected topic, and
# the unchanged functions would publish without a grant.

resource "google_pubsub_topic" "route" {
  for_each = local.topics

  project                    = local.project
  name                       = each.key
  message_retention_duration = local.retention
  deletion_policy            = local.deletion_policy
  kms_key_name               = var.kms_key
  labels                     = local.labels

  dynamic "message_storage_policy" {
    for_each = length(var.message_regions) == 0 ? [] : [true]
    content {
      allowed_persistence_regions = var.message_regions
      enforce_in_transit          = true
    }
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_pubsub_topic_iam_member" "route" {
  for_each = { for pair in setproduct(local.topics, keys(local.members)) : "${pair[0]}/${pair[1]}" => {
    topic  = pair[0]
    writer = pair[1]
  } }

  project = local.project
  topic   = google_pubsub_topic.route[each.value.topic].name
  role    = "roles/pubsub.publisher"
  member  = local.members[each.value.writer]

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_pubsub_subscription" "route" {
  for_each = local.subscribed

  project                    = local.project
  name                       = "${each.key}-pull"
  topic                      = google_pubsub_topic.route[each.key].name
  filter                     = try(var.subscriptions[each.key].filter, null)
  ack_deadline_seconds       = var.ack_deadline_seconds
  message_retention_duration = local.retention
  deletion_policy            = local.deletion_policy
  labels                     = local.labels

  expiration_policy {
    ttl = "" # never expires, even without a subscriber
  }
  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }
  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letter.id
    max_delivery_attempts = var.max_delivery_attempts
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_pubsub_subscription_iam_member" "consumers" {
  for_each = { for pair in setproduct(local.subscribed, var.consumers) : "${pair[0]}/${pair[1]}" => {
    topic    = pair[0]
    consumer = pair[1]
  } }

  project      = local.project
  subscription = google_pubsub_subscription.route[each.value.topic].name
  role         = "roles/pubsub.subscriber"
  member       = each.value.consumer
}

resource "google_pubsub_topic" "dead_letter" {
  project                    = local.project
  name                       = "${var.name}-dead-letter"
  message_retention_duration = local.retention
  deletion_policy            = local.deletion_policy
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

resource "google_pubsub_subscription" "dead_letter" {
  project                    = local.project
  name                       = "${var.name}-dead-letter"
  topic                      = google_pubsub_topic.dead_letter.name
  ack_deadline_seconds       = var.ack_deadline_seconds
  message_retention_duration = local.retention
  deletion_policy            = local.deletion_policy
  labels                     = local.labels

  expiration_policy {
    ttl = ""
  }
}

# Pub/Sub's service agent moves dead letters: it publishes them to the dead-letter topic
# and acknowledges them on their subscription. Without both grants, messages are
# redelivered without end and without an error.
resource "google_pubsub_topic_iam_member" "dead_letter" {
  project = local.project
  topic   = google_pubsub_topic.dead_letter.name
  role    = "roles/pubsub.publisher"
  member  = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "dead_letter" {
  for_each = google_pubsub_subscription.route

  project      = local.project
  subscription = each.value.name
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}
