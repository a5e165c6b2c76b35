# Two installations in one project, called as a module, in every shape.

terraform {
  required_providers {
    google  = { source = "hashicorp/google" }
    archive = { source = "hashicorp/archive" }
  }
}

variable "images" {
  description = "Whether the functions are Cloud Run services, from images."
  type        = bool
  default     = false
}

variable "edge" {
  description = "Whether each installation has an address of its own."
  type        = bool
  default     = false
}

variable "reconcile" {
  description = "The mode of the reconcilers."
  type        = string
  default     = "auto"
}

variable "accounts" {
  description = "Whether the functions run and are built as accounts that are made here."
  type        = bool
  default     = false
}

locals {
  installations = { hooks = "us-central1", hooks-eu = "europe-west1" }

  functions = var.reconcile == "off" ? ["static", "dynamic"] : ["static", "dynamic", "reconcile"]
  images    = { for function in local.functions : function => "us-docker.pkg.dev/a-project/hooks/${function}@sha256:${sha256(function)}" }

  accounts = var.accounts ? setproduct(keys(local.installations), ["static", "dynamic", "reconcile", "build", "timer"]) : []
}

resource "google_service_account" "theirs" {
  for_each = { for pair in local.accounts : join("-", pair) => pair }

  project    = "a-project"
  account_id = each.key
}

module "geminihook" {
  source   = "../.."
  for_each = local.installations

  project_id       = "a-project"
  project_number   = var.images ? 123456789012 : null
  region           = each.value
  name             = each.key
  reconcile        = var.reconcile
  images           = var.images ? local.images : null
  urls             = var.edge ? { for path in ["static", "dynamic"] : path => "https://${each.key}.example.com/${path}" } : null
  service_accounts = { for pair in local.accounts : pair[1] => google_service_account.theirs[join("-", pair)].email if pair[0] == each.key }
}

module "edge" {
  source   = "../../edge"
  for_each = { for name, region in local.installations : name => region if var.edge }

  project_id = "a-project"
  region     = each.value
  name       = each.key
  domain     = "${each.key}.example.com"
  functions = {
    static  = module.geminihook[each.key].static_function
    dynamic = module.geminihook[each.key].dynamic_function
  }
}

output "geminihook" {
  description = "The module's outputs, by installation."
  value       = module.geminihook
  sensitive   = true # because the module's output sources is sensitive
}
