# Where deliveries go, and who takes them from there.

locals {
  routes = coalesce(var.routes, tomap({
    batch       = "${var.name}-batch"
    interaction = "${var.name}-interaction"
    video       = "${var.name}-video"
    "*"         = "${var.name}-other"
  }))

  # Not for events. Their names are taken even if they do not exist.
  own_topics = ["${var.name}-dead-letter", "${var.name}-jobs", "${var.name}-jobs-rejected"]

  # A route that names a topic in full, projects/P/topics/T, is another configuration's:
  # so are the topic's subscriptions, and the grant to publish to it.
  topics = toset(concat([for topic in values(local.routes) : topic if !startswith(topic, "projects/")], tolist(var.retired_topics)))

  # The pull subscriptions, by topic.
  subscribed = toset([for topic in local.topics : topic if try(var.subscriptions[topic].pull, true)])
  retention  = "${var.message_retention_days * 86400}s"

  # What is on a topic or a subscription was answered 204 and is not sent again.
  deletion_policy = var.deletion_protection ? "PREVENT" : "DELETE"

  pubsub_agent = "serviceAccount:service-${local.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

# A route that is moved to another topic leaves the old topic, its subscription and
# its grants behind, to be destroyed. All three are created before they are destroyed,
# for the order that this imposes: the function is changed first. Without it the grants
# would go first, the protected topic would then refuse to go, and the function, never
# changed, would publish without a grant.

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
    ttl = "" # never, however long nobody subscribes
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

# Pub/Sub itself moves dead letters: its agent publishes them to the one topic and
# acknowledges them on the subscriptions they come from. Without both grants they
# are retried for ever, and nothing says so.
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
