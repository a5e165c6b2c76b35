# The identity of an installation. A change of it would replace the functions, the
# messages and the records of deliveries. Deletion protection would stop the apply only
# at the database and the topics, after the functions were destroyed. The postcondition
# below fails during the plan, before anything is changed.

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
    ignore_changes = [input] # so that the output remains that of the first apply

    postcondition {
      condition     = self.output == local.installation
      error_message = "project_id, region, name and firestore_location cannot change (they were ${jsonencode(self.output)}). Deploy a second installation with a state of its own, move the webhooks, and remove this one: see docs/operate.md, \"Move or rename an installation\"."
    }
  }
}
