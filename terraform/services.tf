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

  # Other applications in the project may use them.
  disable_on_destroy = false
}

locals {
  # The id of the project, known once its services are enabled. A resource that uses it
  # waits for the services, without depends_on.
  project = one(distinct([for service in google_project_service.this : service.project]))

  # The source bucket has its project's number as an attribute, so that no data source
  # reads it at every plan. Without the bucket, the variable is required.
  project_number = coalesce(var.project_number, one(google_storage_bucket.source[*].project_number))

  # Each resource sets these. Plans with mocked providers do not show default_labels of a
  # provider, so that tests could not check them.
  labels = merge({ app = var.name }, var.labels)
}
