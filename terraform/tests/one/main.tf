# One installation, called as a module, at an address of its own.

terraform {
  required_providers {
    google  = { source = "hashicorp/google" }
    archive = { source = "hashicorp/archive" }
  }
}

module "geminihook" {
  source     = "../.."
  project_id = "a-project"
  urls       = module.edge.urls
}

module "edge" {
  source     = "../../edge"
  project_id = "a-project"
  region     = "us-central1"
  domain     = "hooks.example.com"
  functions = {
    static  = module.geminihook.static_function
    dynamic = module.geminihook.dynamic_function
  }
}

output "geminihook" {
  description = "The module's outputs."
  value       = module.geminihook
  sensitive   = true # because the module's output sources is sensitive
}
