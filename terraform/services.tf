resource "google_project_service" "this" {
  for_each = toset(concat([
    "cloudresourcemanager.googleapis.com",
    "firestore.googleapis.com",
    "iam.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "pubsub.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    ], local.builds ? [
    "artifactregistry.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudfunctions.googleapis.com",
    "storage.googleapis.com",
  ] : [], local.reconciles ? ["cloudscheduler.googleapis.com"] : []))

  project = var.project_id
  service = each.key

  # Others in the project may have come to need them.
  disable_on_destroy = false
}

locals {
  # The project once its services are on: whoever names this project waits for
  # them, and nobody needs depends_on.
  project = one(distinct([for service in google_project_service.this : service.project]))

  # The bucket of the sources knows the number of the project it is in: no data source
  # has to ask for it at every plan. Without the bucket, a variable gives it.
  project_number = coalesce(var.project_number, one(google_storage_bucket.source[*].project_number))

  # Written out at each resource, not in the provider's default_labels, which no
  # mocked plan shows.
  labels = merge({ app = var.name }, var.labels)
}
