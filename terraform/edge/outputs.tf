output "address" {
  description = "The address for the A record of the domain."
  value       = google_compute_global_address.this.address
}

output "urls" {
  description = "The value of the core's variable urls. It depends on the domain only, so that the core can use it although this module uses the core's functions. With for_each, Terraform still reports a cycle: there, write the URLs as text."
  value       = { static = "https://${var.domain}/static", dynamic = "https://${var.domain}/dynamic" }
}
