variable "project_id" {
  description = "Id of the project, as in the core."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must have 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  description = "Region of the functions, as in the core."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be a region such as europe-west1, not a zone or multi-region."
  }
}

variable "name" {
  description = "Name of the installation, as in the core."
  type        = string
  default     = "geminihook"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,20}[a-z0-9]$", var.name))
    error_message = "name must have 4 to 22 lower-case letters, digits and hyphens, begin with a letter and not end with a hyphen."
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
    error_message = "Keys and values of labels have at most 63 lower-case letters, digits, hyphens and underscores. A key begins with a letter."
  }
}

variable "functions" {
  description = "Names of the two functions: the core's outputs static_function and dynamic_function."
  type        = object({ static = string, dynamic = string })
  nullable    = false

  validation {
    condition     = alltrue([for name in values(var.functions) : can(regex("^[a-z][a-z0-9-]*[a-z0-9]$", name))])
    error_message = "functions must contain names such as geminihook-static, not URLs or full names."
  }
}

variable "domain" {
  description = "Host name. Its A record points to the output address."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain))
    error_message = "domain must be a host name such as hooks.example.com."
  }
}

variable "security_policy" {
  description = "A Cloud Armor policy of your own, by its id. Null: none."
  type        = string
  default     = null

  validation {
    condition     = var.security_policy == null || can(regex("^(https://.*/)?projects/[^/]+/global/securityPolicies/[^/]+$", var.security_policy))
    error_message = "security_policy must be a policy's id, projects/P/global/securityPolicies/S, or its URL."
  }
}
