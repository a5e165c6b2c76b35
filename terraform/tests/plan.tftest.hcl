# Plans. Mocked values are known in them (override_during), so that the connections between
# resources can be checked; no assertion is about a mocked value itself. terraform_test.go
# reads these plans, and checks all resources of a type and the module function.

mock_provider "google" {
  override_during = plan

  mock_resource "google_storage_bucket" {
    defaults = { project_number = 123456789012 }
  }
}

mock_provider "archive" {
  override_during = plan
}

# The accounts, for the grants.

override_resource {
  target          = google_service_account.build[0]
  override_during = plan
  values          = { id = "projects/a-project/serviceAccounts/build", email = "build" }
}

override_resource {
  target          = module.static.google_service_account.this[0]
  override_during = plan
  values          = { email = "static" }
}

override_resource {
  target          = module.dynamic.google_service_account.this[0]
  override_during = plan
  values          = { email = "dynamic" }
}

override_resource {
  target          = module.reconcile[0].google_service_account.this[0]
  override_during = plan
  values          = { email = "reconcile" }
}

override_resource {
  target          = google_service_account.timer[0]
  override_during = plan
  values          = { email = "timer" }
}

override_resource {
  target          = module.reconcile[0].google_cloudfunctions2_function.this[0]
  override_during = plan
  values          = { service_config = { uri = "https://geminihook-reconcile-a1b2c3.a.run.app" } }
}

override_resource {
  target          = google_pubsub_topic.dead_letter
  override_during = plan
  values          = { id = "projects/a-project/topics/geminihook-dead-letter" }
}

override_resource {
  target          = google_monitoring_uptime_check_config.function["static"]
  override_during = plan
  values          = { uptime_check_id = "check-of-static" }
}

override_resource {
  target          = google_monitoring_uptime_check_config.function["dynamic"]
  override_during = plan
  values          = { uptime_check_id = "check-of-dynamic" }
}

variables {
  project_id = "a-project"
}

run "defaults" {
  command = plan

  # Literal values that only the API checks.
  assert {
    condition = (
      google_firestore_database.this.type == "FIRESTORE_NATIVE" &&
      google_firestore_database.this.database_edition == "STANDARD" &&
      google_firestore_database.this.delete_protection_state == "DELETE_PROTECTION_ENABLED" &&
      google_firestore_database.this.deletion_policy == "DELETE" &&
      google_firestore_database.this.location_id == "us-central1" &&
      google_firestore_database.this.name == "geminihook"
    )
    error_message = "Database: want native, standard, protected, with the installation's name and in the functions' region."
  }
  assert {
    condition = (
      google_storage_bucket.source[0].name == "a-project-geminihook-source" &&
      google_storage_bucket.source[0].uniform_bucket_level_access &&
      google_storage_bucket.source[0].public_access_prevention == "enforced"
    )
    error_message = "Source bucket: want a name that begins with the project's id, and no public access."
  }
  assert {
    condition = (
      google_artifact_registry_repository.images[0].format == "DOCKER" &&
      toset(google_artifact_registry_repository.images[0].cleanup_policies[*].action) == toset(["KEEP", "DELETE"])
    )
    error_message = "Image repository: want format Docker, and cleanup policies."
  }
  assert {
    condition     = google_secret_manager_secret.signing_secret.deletion_protection && google_secret_manager_secret.url_token.deletion_protection
    error_message = "Secrets: want deletion protection."
  }
  assert {
    condition = alltrue([for secret in [google_secret_manager_secret.signing_secret, google_secret_manager_secret.url_token] :
      length(secret.replication[0].auto) == 1 && length(secret.replication[0].user_managed) == 0
    ])
    error_message = "Secrets: want automatic replication by default."
  }
  assert {
    condition     = alltrue([for service in google_project_service.this : !service.disable_on_destroy])
    error_message = "Services: want them to remain enabled after a removal."
  }

  # Deduplication.
  assert {
    condition = (
      google_firestore_field.expire_at.field == "expire_at" &&
      length(google_firestore_field.expire_at.ttl_config) == 1 &&
      length(google_firestore_field.expire_at.index_config[0].indexes) == 0
    )
    error_message = "Field expire_at: want a TTL and no index."
  }
  assert {
    condition = toset(keys(google_firestore_field.queried)) == toset(["endpoint", "job_id", "type"]) && alltrue([for field in google_firestore_field.queried :
      one(field.index_config[0].indexes).order == "ASCENDING" && one(field.index_config[0].indexes).query_scope == "COLLECTION"
    ])
    error_message = "Fields that are queried: want an index."
  }
  assert {
    condition     = alltrue([for field in google_firestore_field.unindexed : length(field.index_config[0].indexes) == 0 && length(field.ttl_config) == 0])
    error_message = "Other fields: want neither index nor TTL."
  }
  assert {
    condition     = { for key, grant in google_project_iam_member.this : key => grant.member if startswith(key, "dedup/") } == { "dedup/static" = "serviceAccount:static", "dedup/dynamic" = "serviceAccount:dynamic", "dedup/reconcile" = "serviceAccount:reconcile" }
    error_message = "Grants on the database: want one for each function."
  }
  assert {
    condition     = alltrue([for key, grant in google_project_iam_member.this : grant.condition[0].expression == "resource.name == \"projects/a-project/databases/geminihook\"" if startswith(key, "dedup/")])
    error_message = "Grants on the database: want a condition that limits them to it."
  }

  # Publishing.
  assert {
    condition     = toset(keys(google_pubsub_topic.route)) == toset(["geminihook-batch", "geminihook-interaction", "geminihook-video", "geminihook-other"])
    error_message = "Topics: want one for each route."
  }
  assert {
    condition = alltrue([for key, topic in google_pubsub_topic.route :
      topic.message_retention_duration == "604800s" && google_pubsub_subscription.route[key].topic == key
    ])
    error_message = "Topics: want message retention, and a subscription for each."
  }
  assert {
    condition = alltrue([for subscription in google_pubsub_subscription.route :
      subscription.dead_letter_policy[0].dead_letter_topic == "projects/a-project/topics/geminihook-dead-letter" &&
      subscription.dead_letter_policy[0].max_delivery_attempts == 10 &&
      subscription.retry_policy[0].minimum_backoff == "10s" &&
      subscription.retry_policy[0].maximum_backoff == "600s" &&
      subscription.ack_deadline_seconds == 60
    ])
    error_message = "Subscriptions: want a retry policy and a dead-letter policy."
  }
  assert {
    condition     = google_pubsub_subscription.dead_letter.topic == google_pubsub_topic.dead_letter.name
    error_message = "Dead letters: want a subscription to their topic."
  }
  assert {
    condition = (
      google_pubsub_topic_iam_member.dead_letter.member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com" &&
      google_pubsub_topic_iam_member.dead_letter.role == "roles/pubsub.publisher" &&
      google_pubsub_topic_iam_member.dead_letter.topic == "geminihook-dead-letter"
    )
    error_message = "Dead letters: want a grant to Pub/Sub's agent to publish them."
  }
  assert {
    condition = (
      { for key, grant in google_pubsub_subscription_iam_member.dead_letter : key => grant.subscription } == { for key, subscription in google_pubsub_subscription.route : key => subscription.name } &&
      alltrue([for grant in google_pubsub_subscription_iam_member.dead_letter :
        grant.role == "roles/pubsub.subscriber" && grant.member == google_pubsub_topic_iam_member.dead_letter.member
      ])
    )
    error_message = "Dead letters: want a grant to Pub/Sub's agent on each subscription."
  }

  assert {
    condition     = google_logging_project_exclusion.dynamic_requests.filter == "logName=\"projects/a-project/logs/run.googleapis.com%2Frequests\" AND resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"geminihook-dynamic\""
    error_message = "Excluded logs: want the dynamic function's request logs only, because its URL contains a token."
  }
}

run "other_values" {
  command = plan

  variables {
    region                 = "europe-west1"
    name                   = "hooks"
    firestore_location     = "eur3"
    deletion_protection    = false
    labels                 = { team = "video" }
    routes                 = { "batch.failed" = "trouble", "video" = "trouble", "*" = "the.re+st" }
    retired_topics         = ["once~%"]
    secret_locations       = ["europe-west4", "europe-west1"]
    jwt_audiences          = []
    url_token_required     = false
    message_retention_days = 1
    notification_channels  = ["projects/a-project/notificationChannels/1"]
    alert_thresholds       = { silence_hours = 72 }
  }

  assert {
    condition     = output.dynamic_url == "https://europe-west1-a-project.cloudfunctions.net/hooks-dynamic"
    error_message = "URLs: want the region and the name of the variables in them."
  }
  assert {
    condition = (
      google_firestore_database.this.location_id == "eur3" &&
      google_firestore_database.this.delete_protection_state == "DELETE_PROTECTION_DISABLED" &&
      !google_secret_manager_secret.signing_secret.deletion_protection &&
      !google_secret_manager_secret.url_token.deletion_protection
    )
    error_message = "Deletion policies: want no protection if deletion_protection is false."
  }
  assert {
    condition = alltrue([for secret in [google_secret_manager_secret.signing_secret, google_secret_manager_secret.url_token] :
      secret.replication[0].user_managed[0].replicas[*].location == tolist(["europe-west1", "europe-west4"]) && length(secret.replication[0].auto) == 0
    ])
    error_message = "Secrets: want the regions of secret_locations, in a fixed order."
  }
  assert {
    condition     = toset(keys(google_pubsub_topic.route)) == toset(["trouble", "the.re+st", "once~%"])
    error_message = "Topics: want one for routes that share it, and the retired one."
  }
  assert {
    condition     = output.routes == { "batch.failed" = "trouble", "video" = "trouble", "*" = "the.re+st" }
    error_message = "Output routes: want the topic of each route."
  }
  assert {
    condition     = google_pubsub_subscription.route["the.re+st"].message_retention_duration == "86400s"
    error_message = "Record retention: want that of the variable."
  }
  assert {
    condition     = alltrue([for policy in google_monitoring_alert_policy.this : policy.notification_channels == tolist(["projects/a-project/notificationChannels/1"])])
    error_message = "Alerts: want all notification channels on each."
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.this["silence"].conditions[0].condition_prometheus_query_language[0].query, "[504h])) > 0 unless ") && endswith(google_monitoring_alert_policy.this["silence"].conditions[0].condition_prometheus_query_language[0].query, "[72h])) > 0")
    error_message = "Alert silence: want a window seven times as long as silence_hours."
  }
}

# The validation of variables. If a validation refers to a second variable and that one is
# invalid, Terraform makes none of the first variable's validations. So these are in
# separate runs.

run "refuses_too_little" {
  command = plan

  variables {
    project_id                  = "a"
    project_number              = 1.5
    region                      = "europe"
    name                        = "abc"
    labels                      = { Team = "x" }
    secret_locations            = ["europe"]
    timestamp_tolerance_seconds = 59
    jwt_audiences               = ["https://a?token=b"]
    concurrency                 = 0
    max_instances               = 0
    memory                      = "128Mi"
    cpu                         = "0.5"
    timeout_seconds             = 9
    message_retention_days      = 0
    ack_deadline_seconds        = 9
    max_delivery_attempts       = 4
    firestore_location          = "europe"
    notification_channels       = ["someone@example.com"]
    runbooks_url                = "http://example.com"
  }

  expect_failures = [
    var.project_id, var.region, var.name, var.labels, var.timestamp_tolerance_seconds, var.jwt_audiences,
    var.concurrency, var.max_instances, var.memory, var.cpu, var.timeout_seconds, var.message_retention_days,
    var.ack_deadline_seconds, var.max_delivery_attempts, var.firestore_location, var.notification_channels,
    var.runbooks_url, var.secret_locations, var.project_number,
  ]
}

run "refuses_too_much" {
  command = plan

  variables {
    project_id                  = "example.com:a-project"
    region                      = "us-central1-a"
    name                        = "twenty-three-characters"
    labels                      = { for n in range(63) : "label-${n}" => "" }
    notification_channels       = [for n in range(17) : "projects/a-project/notificationChannels/${n}"]
    timestamp_tolerance_seconds = 3601
    jwt_audiences               = ["a,b"]
    concurrency                 = 81
    max_instances               = 1001
    memory                      = "8Gi"
    cpu                         = "4"
    timeout_seconds             = 31
    message_retention_days      = 32
    ack_deadline_seconds        = 601
    max_delivery_attempts       = 101
    runbooks_url                = "https://example.com/"
  }

  expect_failures = [
    var.project_id, var.region, var.name, var.labels, var.timestamp_tolerance_seconds, var.jwt_audiences,
    var.concurrency, var.max_instances, var.memory, var.cpu, var.timeout_seconds, var.message_retention_days,
    var.ack_deadline_seconds, var.max_delivery_attempts, var.notification_channels, var.runbooks_url,
  ]
}

run "refuses_fractions" {
  command = plan

  variables {
    timestamp_tolerance_seconds = 60.5
    concurrency                 = 1.5
    max_instances               = 1.5
    timeout_seconds             = 10.5
    message_retention_days      = 1.5
    ack_deadline_seconds        = 10.5
    max_delivery_attempts       = 5.5
  }

  expect_failures = [
    var.timestamp_tolerance_seconds, var.concurrency, var.max_instances, var.timeout_seconds,
    var.message_retention_days, var.ack_deadline_seconds, var.max_delivery_attempts,
  ]
}

run "refuses_a_record_forgotten_before_the_last_retry" {
  command = plan

  variables {
    timestamp_tolerance_seconds = 3600
    record_retention_hours      = 24
    min_instances               = 11 # of at most 10
    routes                      = { batch = "geminihook-batch" }
    alert_thresholds            = { silence_hours = 0 }
  }

  expect_failures = [var.record_retention_hours, var.min_instances, var.routes, var.alert_thresholds]
}

run "refuses_a_record_kept_for_ever" {
  command = plan

  variables {
    record_retention_hours = 8761
    min_instances          = -1
    routes                 = { "*" = "geminihook-other", "batch failed" = "geminihook-batch" }
    alert_thresholds       = { latency_ms = -1 }
  }

  expect_failures = [var.record_retention_hours, var.min_instances, var.routes, var.alert_thresholds]
}

run "refuses_half_hours_and_blanks" {
  command = plan

  variables {
    record_retention_hours = 72.5
    min_instances          = 0.5
    routes                 = { "*" = "a topic" }
    alert_thresholds       = { refused = -1 }
    labels                 = { team = "Who?" }
  }

  expect_failures = [var.record_retention_hours, var.min_instances, var.routes, var.alert_thresholds, var.labels]
}

run "refuses_a_topic_of_google_s" {
  command = plan

  variables {
    labels           = { goog-team = "" }
    routes           = { "*" = "google-other" }
    alert_thresholds = { backlog_seconds = -1 }
  }

  expect_failures = [var.labels, var.routes, var.alert_thresholds]
}

run "refuses_a_likeness_of_google_s_name" {
  command = plan

  variables {
    name             = "a-g00gle-hook"
    alert_thresholds = { silence_hours = 2503 }
  }

  expect_failures = [var.name, var.alert_thresholds]
}

run "refuses_alerts_that_never_go_off" {
  command = plan

  variables {
    name             = "my-googlehook"
    alert_thresholds = { backlog_seconds = 604800 }
  }

  expect_failures = [var.name, var.alert_thresholds]
}

run "refuses_a_latency_that_never_comes" {
  command = plan

  variables {
    alert_thresholds = { latency_ms = 10000 }
    retired_topics   = ["goog-old"]
  }

  expect_failures = [var.alert_thresholds, var.retired_topics]
}

run "refuses_to_retire_a_topic_in_use" {
  command = plan

  variables {
    retired_topics   = ["geminihook-batch"]
    alert_thresholds = { unavailable_ratio = 0 }
  }

  expect_failures = [var.retired_topics, var.alert_thresholds]
}

run "names_topics_after_the_installation" {
  command = plan

  variables {
    name = "hooks"
  }

  assert {
    condition     = output.routes == { batch = "hooks-batch", interaction = "hooks-interaction", video = "hooks-video", "*" = "hooks-other" }
    error_message = "Names of topics: want the installation's name in front, so that a second installation in the project needs only another name."
  }
}

# Null means the default, unless the variable's description states another meaning.
run "takes_null_for_the_default" {
  command = plan

  variables {
    region                 = null
    name                   = null
    labels                 = null
    routes                 = null
    retired_topics         = null
    secret_locations       = null
    deletion_protection    = null
    url_token_required     = null
    message_retention_days = null
    notification_channels  = null
    alert_thresholds       = { silence_hours = null }
    runbooks_url           = null
  }

  assert {
    condition     = output.dynamic_url == "https://us-central1-a-project.cloudfunctions.net/geminihook-dynamic" && output.url_token_required
    error_message = "Variables that are null: want their defaults."
  }
}

run "refuses_the_dead_letter_topic_as_a_route" {
  command = plan

  variables {
    routes           = { "*" = "geminihook-dead-letter" }
    alert_thresholds = { unavailable_ratio = 1 }
  }

  expect_failures = [var.routes, var.alert_thresholds]
}

run "refuses_to_retire_the_dead_letter_topic" {
  command = plan

  variables {
    retired_topics   = ["geminihook-dead-letter"]
    alert_thresholds = { silence_hours = 1.5 }
  }

  expect_failures = [var.retired_topics, var.alert_thresholds]
}
