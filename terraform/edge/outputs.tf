output "address" {
  description = "The address for the A record of the domain."
  value       = google_compute_global_address.this.address
}

output "urls" {
  description = "The value of the core's variable urls."
  value       = { for key, name in var.functions : key => "https://${var.domain}/${key}" }
}
