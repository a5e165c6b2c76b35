# One deployed function: its service account, unless an existing one is used, and either
# the function, built from source, or a Cloud Run service of the same name, from an image
# (image.tf).

locals {
  email = var.account == null ? var.email : google_service_account.this[0].email

  # The buildpack requires the function's package and go.mod at the root of the archive,
  # and fails if a test file is there. The list contains the files to include, not those
  # to exclude: if a file is forgotten, the build fails, and no file is deployed by
  # mistake. A folder whose name ends in "test" contains test support.
  shared = [for path in fileset(var.settings.repository, "shared/**/*.go") : path
    if !anytrue([for folder in split("/", dirname(path)) : endswith(folder, "test")])
  ]
  sources = { for at, path in merge(
    { "go.mod" = "go.mod", "go.sum" = "go.sum" },
    { for path in local.shared : path => path },
    { for path in fileset(var.settings.repository, "${var.folder}/*.go") : basename(path) => path },
  ) : at => path if !endswith(path, "_test.go") }
}

data "archive_file" "source" {
  count = var.image == null ? 1 : 0

  type             = "zip"
  output_path      = "${var.settings.archives}/${var.name}.zip"
  output_file_mode = "0644" # the hash must not depend on the file modes of this checkout

  dynamic "source" {
    for_each = local.sources
    content {
      filename = source.key
      content  = file("${var.settings.repository}/${source.value}")
    }
  }
}

# The name contains a hash of the content. A new name makes Cloud Functions build again.
resource "google_storage_bucket_object" "source" {
  count = var.image == null ? 1 : 0

  bucket = var.settings.bucket
  name   = "${var.name}-${data.archive_file.source[0].output_md5}.zip"
  source = data.archive_file.source[0].output_path
}

resource "google_service_account" "this" {
  count = var.account == null ? 0 : 1

  project      = var.settings.project
  account_id   = var.account
  display_name = "Runs the function ${var.name}"
}

resource "google_cloudfunctions2_function" "this" {
  count = var.image == null ? 1 : 0

  project      = var.settings.project
  location     = var.settings.region
  name         = var.name
  description  = var.description
  kms_key_name = var.settings.kms_key
  labels       = var.settings.labels

  build_config {
    runtime           = "go126"
    entry_point       = var.entry_point
    service_account   = var.settings.build_account
    docker_repository = var.settings.image_repository
    worker_pool       = var.settings.worker_pool

    source {
      storage_source {
        bucket = google_storage_bucket_object.source[0].bucket
        object = google_storage_bucket_object.source[0].name
      }
    }
  }

  service_config {
    service_account_email            = local.email
    environment_variables            = var.environment
    ingress_settings                 = var.settings.ingress
    all_traffic_on_latest_revision   = true
    max_instance_request_concurrency = var.settings.concurrency
    min_instance_count               = var.settings.min_instances
    max_instance_count               = var.settings.max_instances
    available_memory                 = var.settings.memory
    available_cpu                    = var.settings.cpu
    timeout_seconds                  = var.settings.timeout_seconds
  }

  depends_on = [var.ready]
}

# The only grant to call the function.
resource "google_cloud_run_v2_service_iam_member" "invoker" {
  count = var.image == null ? 1 : 0

  project  = var.settings.project
  location = google_cloudfunctions2_function.this[0].location
  name     = google_cloudfunctions2_function.this[0].name
  role     = "roles/run.invoker"
  member   = var.public ? "allUsers" : var.invoker

  lifecycle {
    # A function that is recreated has a new service, without grants.
    replace_triggered_by = [google_cloudfunctions2_function.this[0].id]
  }
}

moved {
  from = google_cloud_run_v2_service_iam_member.public
  to   = google_cloud_run_v2_service_iam_member.invoker[0]
}
