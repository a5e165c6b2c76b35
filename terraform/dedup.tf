# The records of deliveries, with which each is published once.

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
  deletion_policy         = "DELETE" # the default removes the database from the state without deleting it

  dynamic "cmek_config" {
    for_each = compact([var.kms_key])
    content {
      kms_key_name = cmek_config.value
    }
  }
}

# By default Firestore indexes every field. An index on a value that only grows, such as
# a time, limits the collection to about 500 writes a second, and no query reads these
# fields. The provider cannot exempt a whole collection, so the list contains every field
# that shared/dedup writes and that is not in the next two resources.
resource "google_firestore_field" "unindexed" {
  for_each = toset([
    "attempts",
    "body_sha256",
    "claimed_at",
    "done_at",
    "message_id",
    "owner",
    "state",
    "topic",
    "webhook_id",
  ])

  project    = local.project
  database   = google_firestore_database.this.name
  collection = local.collection
  field      = each.key

  index_config {}
}

# The reconciler, and people, query the records of a job. The reconciler also queries
# whether there is a record with certain endpoints and types.
resource "google_firestore_field" "queried" {
  for_each = toset(["endpoint", "job_id", "type"])

  project    = local.project
  database   = google_firestore_database.this.name
  collection = local.collection
  field      = each.key

  index_config {
    indexes {
      order       = "ASCENDING"
      query_scope = "COLLECTION"
    }
  }
}

moved {
  from = google_firestore_field.job_id
  to   = google_firestore_field.queried["job_id"]
}

moved {
  from = google_firestore_field.unindexed["endpoint"]
  to   = google_firestore_field.queried["endpoint"]
}

moved {
  from = google_firestore_field.unindexed["type"]
  to   = google_firestore_field.queried["type"]
}

resource "google_firestore_field" "expire_at" {
  project    = local.project
  database   = google_firestore_database.this.name
  collection = local.collection
  field      = "expire_at"

  ttl_config {}
  index_config {}
}
