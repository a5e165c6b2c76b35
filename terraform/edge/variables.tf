variable "project_id" {
  description = "Id of the project, as the core's."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "A project id: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  description = "Region of the functions, as the core's."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "A region such as europe-west1: no zone, no multi-region."
  }
}

variable "name" {
  description = "Name of the installation, as the core's."
  type        = string
  default     = "geminihook"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,20}[a-z0-9]$", var.name))
    error_message = "4 to 22 lower-case letters, digits and hyphens, a letter first and no hyphen last."
  }
}

variable "labels" {
  description = "Labels for every resource that has labels."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition = alltrue([for key, value in var.labels :
      can(regex("^[a-z][a-z0-9_-]{0,62}$", key)) && can(regex("^[a-z0-9_-]{0,63}$", value))
    ])
    error_message = "Keys and values: at most 63 lower-case letters, digits, hyphens and underscores; a key begins with a letter."
  }
}

variable "functions" {
  description = "Names of the two functions: the core's outputs static_function and dynamic_function."
  type        = object({ static = string, dynamic = string })
  nullable    = false

  validation {
    condition     = alltrue([for name in values(var.functions) : can(regex("^[a-z][a-z0-9-]*[a-z0-9]$", name))])
    error_message = "Names such as geminihook-static: no URLs, no full names."
  }
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

  validation {
    condition     = var.security_policy == null || can(regex("^(https://.*/)?projects/[^/]+/global/securityPolicies/[^/]+$", var.security_policy))
    error_message = "A policy's id, projects/P/global/securityPolicies/S, or its URL."
  }
}
