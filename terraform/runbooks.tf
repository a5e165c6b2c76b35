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

    - Project `${var.project_id}`, region `${var.region}`. Add `--project=${var.project_id}` to each `gcloud` command.
    - Static function: `${local.names.static}`, ${local.urls.static}
    - Dynamic function: `${local.names.dynamic}`, ${local.urls.dynamic} (without its token)
    - Settings: `reconcile = "${var.reconcile}"`, `grace_minutes = ${var.grace_minutes}`, `lookback_hours = ${var.lookback_hours}`, `message_retention_days = ${var.message_retention_days}`, `ack_deadline_seconds = ${var.ack_deadline_seconds}`, `max_delivery_attempts = ${var.max_delivery_attempts}`, `concurrency = ${var.concurrency}`, `max_instances = ${var.max_instances}`. The page Settings in docs lists all.
    - Log filters such as `jsonPayload.outcome="forged"` are for the [Logs Explorer](https://console.cloud.google.com/logs?project=${var.project_id}), which shows only the last hour unless you set the range. If the project has other installations, append `AND resource.labels.service_name=~"^${var.name}-(static|dynamic|reconcile)$"` to a `jsonPayload` filter.
    - The dashboard is called `${var.name}` in [Cloud Monitoring](https://console.cloud.google.com/monitoring/dashboards?project=${var.project_id}).
    - Run `go run` and `terraform` commands at the root of a checkout of the deployed commit, after `gcloud auth application-default login`, with `GEMINI_API_KEY` set to a key of the project that runs the jobs. Without one, `export GEMINI_API_KEY=$(gcloud secrets versions access latest --secret=${var.name}-api-key --project=${var.project_id})` takes the reconciler's. `dynamic-url` and `redrive` need no key. The page Operate in docs has more.
    - These commands read Terraform's state: `terraform -chdir=terraform output static_url` must print the URL above. If it does not, do not apply, even if a command proposes it. If the state is in a bucket, first run `echo 'terraform { backend "gcs" {} }' >terraform/backend_override.tf` and `terraform -chdir=terraform init -reconfigure -backend-config=bucket=${var.project_id}-terraform -backend-config=prefix=geminihook` (the defaults of `cloudbuild.yaml`). If a configuration of your own calls the module, use its folder and its variables: `--terraform FOLDER` on each `go run` command, `terraform -chdir=FOLDER output -json`, which must contain the URL above, and `terraform -chdir=FOLDER apply`.
    - "Apply" and `terraform apply` mean `terraform -chdir=terraform apply -var project_id=${var.project_id}` with all other variables of the last apply. If the plan changes more than you intend, a variable or the commit differs: do not apply. If Cloud Build deploys this installation, submit the build instead (the command is at the top of `cloudbuild.yaml`), with all substitutions of the last build and your change in `_VARS`: a variable that you leave out returns to its default, and without `_IMAGES` services become functions with other URLs. The build applies without asking; with `_APPLY=false` it only plans.
    - Registered jobs are interactions and videos whose names your application published to the topic `${var.name}-jobs`.
  EOT
}
