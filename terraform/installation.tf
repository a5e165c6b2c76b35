# What an installation is known by. A change to any of these would destroy the
# functions, the accepted messages and the record of deliveries, and make others.
# The providers would refuse, at the database and the topics, after the functions
# were gone. This refuses while planning, before anything is done.

locals {
  installation = {
    project            = var.project_id
    region             = var.region
    name               = var.name
    firestore_location = coalesce(var.firestore_location, var.region)
  }
}

resource "terraform_data" "installation" {
  input = local.installation

  lifecycle {
    ignore_changes = [input] # so that it still says what was applied first

    postcondition {
      condition     = self.output == local.installation
      error_message = "project_id, region, name and firestore_location cannot change (they were ${jsonencode(self.output)}). Deploy a second installation from a state of its own, move the webhooks, and tear this one down: see README.md, \"Rename it or move it\"."
    }
  }
}
