variable "name" {
  description = "Name of the function and of its Cloud Run service."
  type        = string
  nullable    = false
}

variable "account" {
  description = "Id of the function's service account, which is created: at most 30 characters. Null: email names one."
  type        = string
  default     = null
}

variable "email" {
  description = "Email of a service account made elsewhere. Null: the account is created."
  type        = string
  default     = null
}

variable "public" {
  description = "Whether everybody may call the function: the sender has no Google identity, and its signature is verified instead."
  type        = bool
  default     = false
  nullable    = false
}

variable "invoker" {
  description = "Who may call the function if it is not public, as grants name it. Null: it is public."
  type        = string
  default     = null
}

variable "description" {
  description = "What the function is for."
  type        = string
  nullable    = false
}

variable "folder" {
  description = "The function's folder in the repository: its Go files go to the archive's root."
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
  description = "The function's settings."
  type        = map(string)
  nullable    = false
}

variable "settings" {
  description = "What the functions have in common: where they are, what they are built from and by whom, and their size."
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
  description = "What must exist before the function: anything that names it. (depends_on on the module would leave the archive unread until apply.)"
  type        = list(string)
  nullable    = false
}
