# This folder is a root configuration and a module. Therefore it has no provider block,
# and every resource sets its project and region. See docs/deploy.md.

terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 7.33, < 8.0" # deletion_policy
    }
    archive = {
      source  = "hashicorp/archive"
      version = ">= 2.4, < 3.0"
    }
  }
}
