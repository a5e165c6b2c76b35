# The grants on the project as a whole, which cannot be made on a single resource. They
# are one list, because the output project_grants prints them for an administrator.

locals {
  project_grants = merge(
    # Firestore has no grants on a single database, so a condition limits the grant to
    # this one. The condition refers to the variable and not to the database, which takes
    # minutes to create: the grants below, which the first build needs, must not wait for
    # it.
    { for function, member in local.members : "dedup/${function}" => {
      role       = "roles/datastore.user"
      member     = member
      title      = "database-${var.name}"
      expression = "resource.name == \"projects/${var.project_id}/databases/${var.name}\""
    } },
    { for key, grant in {
      "build/logs" = { role = "roles/logging.logWriter", title = "", expression = "" }

      # The platform copies the source into a bucket of its own, which does not exist
      # before the first deployment. A condition limits the grant to that bucket.
      "build/source" = {
        role       = "roles/storage.objectViewer"
        title      = "platform-source-bucket"
        expression = "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-${local.project_number}-${var.region}\")"
      }
    } : key => merge(grant, { member = "serviceAccount:${local.build_email}" }) if local.builds },
  )
}

resource "google_project_iam_member" "this" {
  for_each = { for key, grant in local.project_grants : key => grant if var.manage_project_iam }

  project = local.project
  role    = each.value.role
  member  = each.value.member

  dynamic "condition" {
    for_each = each.value.title == "" ? [] : [each.value]
    content {
      title      = condition.value.title
      expression = condition.value.expression
    }
  }
}

moved {
  from = google_project_iam_member.dedup["static"]
  to   = google_project_iam_member.this["dedup/static"]
}

moved {
  from = google_project_iam_member.dedup["dynamic"]
  to   = google_project_iam_member.this["dedup/dynamic"]
}

moved {
  from = google_project_iam_member.dedup["reconcile"]
  to   = google_project_iam_member.this["dedup/reconcile"]
}

moved {
  from = google_project_iam_member.build_logs[0]
  to   = google_project_iam_member.this["build/logs"]
}

moved {
  from = google_project_iam_member.build_source[0]
  to   = google_project_iam_member.this["build/source"]
}
