# Two installations in one project, called as a module.

terraform {
  required_providers {
    google  = { source = "hashicorp/google" }
    archive = { source = "hashicorp/archive" }
  }
}

module "geminihook" {
  source   = "../.."
  for_each = { hooks = "us-central1", hooks-eu = "europe-west1" }

  project_id = "a-project"
  region     = each.value
  name       = each.key
}

output "geminihook" {
  description = "The module's outputs, by installation."
  value       = module.geminihook
  sensitive   = true # because the module's output sources is
}
