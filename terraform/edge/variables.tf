variable "project_id" {
  description = "Id of the project, as the core's."
  type        = string
  nullable    = false
}

variable "region" {
  description = "Region of the functions, as the core's."
  type        = string
  nullable    = false
}

variable "name" {
  description = "Name of the installation, as the core's."
  type        = string
  default     = "geminihook"
  nullable    = false
}

variable "labels" {
  description = "Labels for every resource that has labels."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "functions" {
  description = "Names of the two functions: the core's outputs static_function and dynamic_function."
  type        = object({ static = string, dynamic = string })
  nullable    = false
}

variable "domain" {
  description = "The host name, whose A record points to the output address."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain))
    error_message = "A host name such as hooks.example.com."
  }
}

variable "security_policy" {
  description = "A Cloud Armor policy of your own, by its id. Null: none."
  type        = string
  default     = null
}
