# The build of the functions: source bucket, build account and image repository. If
# var.images is set, none of them exists.

locals {
  builds      = var.images == null
  build_email = try(var.service_accounts["build"], one(google_service_account.build[*].email))

  # The email of an existing account is NAME@PROJECT.iam.gserviceaccount.com.
  build_account = try(
    "projects/${regex("@([a-z0-9-]+)", var.service_accounts["build"])[0]}/serviceAccounts/${var.service_accounts["build"]}",
    one(google_service_account.build[*].id),
  )
}

resource "google_storage_bucket" "source" {
  count = local.builds ? 1 : 0

  project                     = local.project
  name                        = "${var.project_id}-${var.name}-source"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true # Terraform can create all of its content again
  labels                      = local.labels

  dynamic "encryption" {
    for_each = compact([var.kms_key])
    content {
      default_kms_key_name = encryption.value
    }
  }
}

resource "google_artifact_registry_repository" "images" {
  count = local.builds ? 1 : 0

  project       = local.project
  location      = var.region
  repository_id = var.name
  format        = "DOCKER"
  description   = "Images of the functions"
  kms_key_name  = var.kms_key
  labels        = local.labels

  # Each deployment adds an image. The newest are kept for a rollback.
  cleanup_policies {
    id     = "keep-recent"
    action = "KEEP"
    most_recent_versions {
      keep_count = 5
    }
  }
  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      older_than = "2592000s"
    }
  }
}

resource "google_service_account" "build" {
  count = local.builds && !contains(keys(var.service_accounts), "build") ? 1 : 0

  project      = local.project
  account_id   = "${var.name}-build"
  display_name = "Builds the functions of ${var.name}"
}

resource "google_artifact_registry_repository_iam_member" "build" {
  count = local.builds ? 1 : 0

  project    = local.project
  location   = google_artifact_registry_repository.images[0].location
  repository = google_artifact_registry_repository.images[0].repository_id
  role       = "roles/artifactregistry.writer"
  member     = "serviceAccount:${local.build_email}"
}

resource "google_storage_bucket_iam_member" "build" {
  count = local.builds ? 1 : 0

  bucket = google_storage_bucket.source[0].name
  role   = "roles/storage.objectViewer"
  member = "serviceAccount:${local.build_email}"
}
