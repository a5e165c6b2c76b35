variable "project_id" {
  description = "Id of the Google Cloud project."
  type        = string
  nullable    = false
}

variable "region" {
  description = "Region of the functions, and of the Cloud Run service to which events are pushed."
  type        = string
  default     = "us-central1"
  nullable    = false
}

variable "consumer" {
  description = "IAM member that pulls batch events: serviceAccount:…"
  type        = string
  nullable    = false
}

variable "push_endpoint" {
  description = "URL of the Cloud Run service to which video events are pushed."
  type        = string
  nullable    = false
}

variable "push_service" {
  description = "Name of the Cloud Run service at push_endpoint."
  type        = string
  nullable    = false
}

variable "bigquery_dataset" {
  description = "Id of an existing BigQuery dataset, which gets a table of all events."
  type        = string
  nullable    = false
}
