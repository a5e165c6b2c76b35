# The two functions that receive deliveries.

locals {
  names = {
    static  = "${var.name}-static"
    dynamic = "${var.name}-dynamic"
  }

  # These are known before the functions exist, because the dynamic function's settings
  # contain its own URL, the audience of JWTs. A function built from source also answers
  # at a URL on run.app, which is not the audience, because no sender gets it.
  urls = { for key, name in local.names : key => var.urls != null ? var.urls[key] : local.builds ?
    "https://${var.region}-${var.project_id}.cloudfunctions.net/${name}" :
    "https://${name}-${coalesce(var.project_number, "0")}.${var.region}.run.app"
  }

  images = coalesce(var.images, { static = null, dynamic = null, reconcile = null })

  environment = {
    GOOGLE_CLOUD_PROJECT = var.project_id
    FIRESTORE_DATABASE   = google_firestore_database.this.name
    FIRESTORE_COLLECTION = local.collection
    ROUTES               = join(",", [for type, topic in local.routes : "${type}=${try(google_pubsub_topic.route[topic].name, topic)}"])
    TIMESTAMP_TOLERANCE  = "${var.timestamp_tolerance_seconds}s"
    RECORD_RETENTION     = "${var.record_retention_hours}h"
  }

  function = {
    project          = local.project
    region           = var.region
    repository       = "${path.module}/.."
    archives         = "${path.root}/.terraform/archives/${var.project_id}"
    bucket           = one(google_storage_bucket.source[*].name)
    image_repository = one(google_artifact_registry_repository.images[*].id)
    build_account    = local.build_account
    worker_pool      = var.build_worker_pool
    kms_key          = var.kms_key
    ingress          = var.urls == null ? "ALLOW_ALL" : "ALLOW_INTERNAL_AND_GCLB"
    concurrency      = var.concurrency
    min_instances    = var.min_instances
    max_instances    = var.max_instances
    memory           = var.memory
    cpu              = var.cpu
    timeout_seconds  = var.timeout_seconds
    labels           = local.labels
  }

  # The accounts that use the ledger and publish events.
  members = merge(
    { static = module.static.member, dynamic = module.dynamic.member },
    { for key in local.reconcilers : key => module.reconcile[0].member },
  )

  # The functions are created and changed after these. The grants to the build account
  # take effect while the database is created, which takes minutes; without them, the
  # first build fails. A revision whose routes contain a topic finds the topic, its
  # subscription and the grant to publish. There is no cycle, because the grants depend
  # on the functions' accounts and not on the functions.
  ready = concat(
    values(google_project_iam_member.this)[*].id,
    google_artifact_registry_repository_iam_member.build[*].id,
    google_storage_bucket_iam_member.build[*].id,
    [google_firestore_field.expire_at.id],
    values(google_secret_manager_secret_iam_member.signing_secret)[*].id,
    values(google_secret_manager_secret_iam_member.url_token)[*].id,
    values(google_pubsub_topic_iam_member.route)[*].id,
    values(google_pubsub_subscription.route)[*].id,
    # Exists before the first dead letter.
    [google_pubsub_subscription.dead_letter.id],
  )
}

module "static" {
  source = "./function"

  name        = local.names.static
  account     = contains(keys(var.service_accounts), "static") ? null : local.names.static
  email       = lookup(var.service_accounts, "static", null)
  public      = true
  description = "Receives deliveries of static webhooks"
  folder      = "functions/static"
  entry_point = "StaticWebhook"
  image       = local.images.static
  settings    = local.function
  ready       = local.ready

  environment = merge(local.environment, {
    SIGNING_SECRET_NAME = google_secret_manager_secret.signing_secret.secret_id
  })
}

module "dynamic" {
  source = "./function"

  name        = local.names.dynamic
  account     = contains(keys(var.service_accounts), "dynamic") ? null : local.names.dynamic
  email       = lookup(var.service_accounts, "dynamic", null)
  public      = true
  description = "Receives deliveries of dynamic webhooks"
  folder      = "functions/dynamic"
  entry_point = "DynamicWebhook"
  image       = local.images.dynamic
  settings    = local.function
  ready       = local.ready

  environment = merge(local.environment, {
    URL_TOKEN_SECRET_NAME = google_secret_manager_secret.url_token.secret_id
    URL_TOKEN_REQUIRED    = tostring(var.url_token_required)
    JWT_AUDIENCES         = join(",", coalesce(var.jwt_audiences, [local.urls.dynamic]))
    JWT_WITHOUT_EVENT     = tostring(var.jwt_without_event)
  })
}
