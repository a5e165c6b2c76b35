variable "project_id" {
  description = "Id of the Google Cloud project."
  type        = string
  nullable    = false
}

variable "region" {
  description = "Region of the functions and of the service that events are pushed to."
  type        = string
  default     = "us-central1"
  nullable    = false
}

variable "consumer" {
  description = "Who pulls batch events, as an IAM member: serviceAccount:…"
  type        = string
  nullable    = false
}

variable "push_endpoint" {
  description = "URL of the Cloud Run service that video events are pushed to."
  type        = string
  nullable    = false
}

variable "push_service" {
  description = "Name of that service."
  type        = string
  nullable    = false
}

variable "bigquery_dataset" {
  description = "Id of an existing BigQuery dataset, which gets a table of all events."
  type        = string
  nullable    = false
}
