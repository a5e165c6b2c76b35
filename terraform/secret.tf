# The secrets, without their values: Terraform and its state never contain these. The
# command geminihook register stores the signing secret, dynamic-url the URL token, and
# api-key the API key. Until then the functions answer 503, and Gemini retries.

resource "google_secret_manager_secret" "signing_secret" {
  project             = local.project
  secret_id           = "${var.name}-signing-secret"
  deletion_protection = var.deletion_protection
  labels              = local.labels

  replication {
    dynamic "auto" {
      for_each = local.secrets_anywhere ? [true] : []
      content {}
    }
    dynamic "user_managed" {
      for_each = local.secrets_anywhere ? [] : [true]
      content {
        dynamic "replicas" {
          for_each = var.secret_locations
          content {
            location = replicas.value

            dynamic "customer_managed_encryption" {
              for_each = compact([var.kms_key])
              content {
                kms_key_name = customer_managed_encryption.value
              }
            }
          }
        }
      }
    }
  }
}

resource "google_secret_manager_secret" "url_token" {
  project             = local.project
  secret_id           = "${var.name}-url-token"
  deletion_protection = var.deletion_protection
  labels              = local.labels

  replication {
    dynamic "auto" {
      for_each = local.secrets_anywhere ? [true] : []
      content {}
    }
    dynamic "user_managed" {
      for_each = local.secrets_anywhere ? [] : [true]
      content {
        dynamic "replicas" {
          for_each = var.secret_locations
          content {
            location = replicas.value

            dynamic "customer_managed_encryption" {
              for_each = compact([var.kms_key])
              content {
                kms_key_name = customer_managed_encryption.value
              }
            }
          }
        }
      }
    }
  }
}

locals {
  secrets_anywhere = length(var.secret_locations) == 0

  # A function lists the versions of its secret and accesses each enabled one. The role
  # viewer allows the list, and also allows to read the metadata of this secret. A custom
  # role with only the two permissions would avoid the latter, but its id could not be
  # used again for weeks after a removal, and the account that deploys would need the
  # permission to define roles.
  secret_roles = toset(["roles/secretmanager.secretAccessor", "roles/secretmanager.viewer"])
}

resource "google_secret_manager_secret_iam_member" "signing_secret" {
  for_each = local.secret_roles

  project   = local.project
  secret_id = google_secret_manager_secret.signing_secret.secret_id
  role      = each.key
  member    = module.static.member
}

resource "google_secret_manager_secret_iam_member" "url_token" {
  for_each = local.secret_roles

  project   = local.project
  secret_id = google_secret_manager_secret.url_token.secret_id
  role      = each.key
  member    = module.dynamic.member
}

# The Gemini API key of the reconciler. It is not protected, so that reconcile = "off"
# removes it in one apply. The key remains valid at the Gemini API.
resource "google_secret_manager_secret" "api_key" {
  count = local.reconciles ? 1 : 0

  project             = local.project
  secret_id           = "${var.name}-api-key"
  deletion_protection = false
  labels              = local.labels

  replication {
    dynamic "auto" {
      for_each = local.secrets_anywhere ? [true] : []
      content {}
    }
    dynamic "user_managed" {
      for_each = local.secrets_anywhere ? [] : [true]
      content {
        dynamic "replicas" {
          for_each = var.secret_locations
          content {
            location = replicas.value

            dynamic "customer_managed_encryption" {
              for_each = compact([var.kms_key])
              content {
                kms_key_name = customer_managed_encryption.value
              }
            }
          }
        }
      }
    }
  }
}

resource "google_secret_manager_secret_iam_member" "api_key" {
  for_each = local.reconciles ? local.secret_roles : toset([])

  project   = local.project
  secret_id = google_secret_manager_secret.api_key[0].secret_id
  role      = each.key
  member    = module.reconcile[0].member
}
