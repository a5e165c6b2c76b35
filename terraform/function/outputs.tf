output "name" {
  description = "Name of the function and of its Cloud Run service."
  value       = one(concat(google_cloudfunctions2_function.this[*].name, google_cloud_run_v2_service.this[*].name))
}

output "uri" {
  description = "The function's URL on run.app."
  value       = one(concat(google_cloudfunctions2_function.this[*].service_config[0].uri, google_cloud_run_v2_service.this[*].uri))
}

output "member" {
  description = "The function's service account, as an IAM member."
  value       = "serviceAccount:${local.email}"
}

output "email" {
  description = "Email of the function's service account."
  value       = local.email
}

output "sources" {
  description = "Files in the archive: path in the archive = path in the repository."
  value       = local.sources
}
