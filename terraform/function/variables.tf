variable "name" {
  description = "Name of the function and of its Cloud Run service."
  type        = string
  nullable    = false
}

variable "account" {
  description = "Id of the function's service account, which is created: at most 30 characters. Null: the account in email is used."
  type        = string
  default     = null
}

variable "email" {
  description = "Email of an existing service account. Null: the account is created."
  type        = string
  default     = null
}

variable "public" {
  description = "Whether anyone may call the function. Gemini has no Google identity; the function verifies its signature instead."
  type        = bool
  default     = false
  nullable    = false
}

variable "invoker" {
  description = "IAM member that may call the function if it is not public. Null: it is public."
  type        = string
  default     = null
}

variable "description" {
  description = "Description of the function in the console."
  type        = string
  nullable    = false
}

variable "folder" {
  description = "The function's folder in the repository. Its Go files are at the root of the archive."
  type        = string
  nullable    = false
}

variable "entry_point" {
  description = "The name under which the function registers itself."
  type        = string
  nullable    = false
}

variable "image" {
  description = "The image of a Cloud Run service, with its digest. Null: a function is built from source."
  type        = string
  default     = null
}

variable "environment" {
  description = "Environment variables of the function: its settings."
  type        = map(string)
  nullable    = false
}

variable "settings" {
  description = "Settings that all functions have in common: place, build and size."
  type = object({
    project          = string
    region           = string
    repository       = string
    archives         = string
    bucket           = string
    image_repository = string
    build_account    = string
    worker_pool      = string
    kms_key          = string
    ingress          = string
    concurrency      = number
    min_instances    = number
    max_instances    = number
    memory           = string
    cpu              = string
    timeout_seconds  = number
    labels           = map(string)
  })
  nullable = false
}

variable "ready" {
  description = "Ids of the resources that must exist before the function. With depends_on on the module instead, Terraform would read the archive only during the apply."
  type        = list(string)
  nullable    = false
}
