# The record of each delivery, so that it is published once.

locals {
  collection = "deliveries"
}

resource "google_firestore_database" "this" {
  project                 = local.project
  name                    = var.name
  location_id             = local.installation.firestore_location
  type                    = "FIRESTORE_NATIVE"
  database_edition        = "STANDARD"
  delete_protection_state = var.deletion_protection ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"
  deletion_policy         = "DELETE" # otherwise a teardown would forget the database, not delete it
}

# Firestore indexes every field unless told otherwise. An index on a value that
# only grows, as a time does, caps the collection at about 500 writes a second,
# and nobody queries these. The provider cannot exempt a collection as a whole,
# so every field that shared/dedup writes is named here.
resource "google_firestore_field" "unindexed" {
  for_each = toset([
    "attempts",
    "body_sha256",
    "claimed_at",
    "done_at",
    "endpoint",
    "message_id",
    "owner",
    "state",
    "topic",
    "type",
    "webhook_id",
  ])

  project    = local.project
  database   = google_firestore_database.this.name
  collection = local.collection
  field      = each.key

  index_config {}
}

# A job's records can be looked up by the job.
resource "google_firestore_field" "job_id" {
  project    = local.project
  database   = google_firestore_database.this.name
  collection = local.collection
  field      = "job_id"

  index_config {
    indexes {
      order       = "ASCENDING"
      query_scope = "COLLECTION"
    }
  }
}

resource "google_firestore_field" "expire_at" {
  project    = local.project
  database   = google_firestore_database.this.name
  collection = local.collection
  field      = "expire_at"

  ttl_config {}
  index_config {}
}

# Firestore has no grants on a database: the grant is on the project, and the
# condition holds it to this database.
resource "google_project_iam_member" "dedup" {
  for_each = { static = module.static.member, dynamic = module.dynamic.member }

  project = local.project
  role    = "roles/datastore.user"
  member  = each.value

  condition {
    title      = "database-${var.name}"
    expression = "resource.name == \"projects/${var.project_id}/databases/${google_firestore_database.this.name}\""
  }
}
