# The pages of runbooks/ as the alerts contain them.
locals {
  # The names of an installation with the defaults are replaced by this one's, and links
  # between pages are made absolute.
  runbooks = { for name in keys(local.alerts) : name => replace(
    replace(replace(file("${path.module}/runbooks/${name}.md"), "geminihook-", "${var.name}-"), "us-central1", var.region),
    "/\\]\\(([a-z-]+\\.md)\\)/", "](${var.runbooks_url}/$1)",
  ) }

  # It is added to each page.
  runbook_end = <<-EOT
    ## This installation

    - Static function: `${local.names.static}`, ${local.urls.static}
    - Dynamic function: `${local.names.dynamic}`, ${local.urls.dynamic} without its token
    - Project `${var.project_id}`: add `--project=${var.project_id}` to each `gcloud` command.
    - Log filters such as `jsonPayload.outcome="forged"` are for the [Logs Explorer](https://console.cloud.google.com/logs?project=${var.project_id}). Append `AND resource.labels.service_name:"${var.name}-"` to a `jsonPayload` filter if the project has other installations.
    - The dashboard is called `${var.name}` in [Cloud Monitoring](https://console.cloud.google.com/monitoring/dashboards?project=${var.project_id}).
    - Run `go run` and `terraform` commands at the root of a checkout of the deployed commit, after `gcloud auth application-default login`, with `GEMINI_API_KEY` set. The page Operate in docs has more.
  EOT
}
