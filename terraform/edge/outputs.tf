output "address" {
  description = "The address for the A record of the domain."
  value       = google_compute_global_address.this.address
}

output "urls" {
  description = "The value of the core's variable urls. It comes from the domain alone, so that the core can take it although this module takes the core's functions. In calls with for_each, Terraform still sees a cycle: write the URLs out there."
  value       = { static = "https://${var.domain}/static", dynamic = "https://${var.domain}/dynamic" }
}
