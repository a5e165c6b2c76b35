resource "google_project_service" "this" {
  for_each = toset(concat([
    "artifactregistry.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudfunctions.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "firestore.googleapis.com",
    "iam.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "pubsub.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "storage.googleapis.com",
  ], local.reconciles ? ["cloudscheduler.googleapis.com"] : []))

  project = var.project_id
  service = each.key

  # Others in the project may have come to need them.
  disable_on_destroy = false
}

locals {
  # The project once its services are on: whoever names this project waits for
  # them, and nobody needs depends_on.
  project = one(distinct([for service in google_project_service.this : service.project]))

  # The bucket knows the number of the project it is in. Nobody has to look it
  # up, and no data source has to ask for it at every plan.
  project_number = google_storage_bucket.source.project_number

  # Written out at each resource, not in the provider's default_labels, which no
  # mocked plan shows.
  labels = merge({ app = var.name }, var.labels)
}
