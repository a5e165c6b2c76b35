# Place and name.

variable "project_id" {
  description = "Id of the Google Cloud project. It must exist and have billing. It may be empty."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must have 6 to 30 lower-case letters, digits and hyphens. Ids of the old form \"domain:project\" are not supported, because their functions have other URLs."
  }
}

variable "region" {
  description = "Region of the functions, their images and the source bucket, and of the database unless firestore_location is set."
  type        = string
  default     = "us-central1"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be a region such as europe-west1, not a zone or multi-region."
  }
}

variable "name" {
  description = "Name of the installation and of its database, and prefix of the names of its resources. Each installation in a project needs its own."
  type        = string
  default     = "geminihook"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,20}[a-z0-9]$", var.name))
    error_message = "name must have 4 to 22 lower-case letters, digits and hyphens, begin with a letter and not end with a hyphen. The names of service accounts that begin with it have at most 30 characters, and the name of a database has at least 4."
  }
  validation {
    condition     = !can(regex("g[o0]{2}g", var.name))
    error_message = "name must not contain \"goog\" or a similar spelling: Pub/Sub and Cloud Storage reject such names."
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
  validation {
    condition     = length(var.labels) <= 62 && alltrue([for key in keys(var.labels) : !can(regex("^goog", key))])
    error_message = "labels must have at most 62 entries, and no key that begins with \"goog\". A resource may have 64 labels: this module adds app, and the provider adds goog-terraform-provisioned."
  }
}

variable "project_number" {
  description = "Number of the project. Required with images, whose URLs contain it. Null: it is read from the source bucket."
  type        = number
  default     = null

  validation {
    condition     = var.project_number == null || try(var.project_number > 0 && floor(var.project_number) == var.project_number, false)
    error_message = "project_number must be the number that `gcloud projects describe PROJECT --format='value(projectNumber)'` prints."
  }
}

variable "images" {
  description = "Images of the functions, with their digests: REGION-docker.pkg.dev/P/R/static@sha256:… cloudbuild.yaml builds them. They are deployed as Cloud Run services, which need no grant to allUsers. Null: functions are built from source, and allUsers may call the two public ones."
  type = object({
    static    = string
    dynamic   = string
    reconcile = optional(string)
  })
  default = null

  validation {
    condition     = alltrue([for image in values(coalesce(var.images, {})) : image == null || can(regex("^[a-z0-9.-]+(:[0-9]+)?/[^@\\s]+@sha256:[0-9a-f]{64}$", image))])
    error_message = "images must be named by their digests, NAME@sha256:… Terraform does not notice that a tag has moved."
  }
  validation {
    condition     = !anytrue([for image in values(coalesce(var.images, {})) : startswith(coalesce(image, "-"), "${var.region}-docker.pkg.dev/${var.project_id}/${var.name}/")])
    error_message = "images must not be in the repository with the installation's name: Terraform manages it, and destroys it with the functions that it builds."
  }
  validation {
    condition     = var.images == null || (var.project_number != null && try(var.images.static != null && var.images.dynamic != null && (var.reconcile == "off" || var.images.reconcile != null), false))
    error_message = "images requires project_number and an image for each function: static, dynamic, and reconcile unless reconcile = \"off\"."
  }
}

variable "urls" {
  description = "URLs of the two functions at an address of your own: the output urls of the module terraform/edge. The functions then accept requests from a load balancer only. Null: Google's URLs."
  type = object({
    static  = string
    dynamic = string
  })
  default = null

  validation {
    condition     = alltrue([for url in values(coalesce(var.urls, {})) : can(regex("^https://[^/?#\\s]+/[^?#\\s]*$", url))])
    error_message = "urls must be https URLs with a path and without a query. The commands add the token to the dynamic one."
  }
}

# Verification.

variable "timestamp_tolerance_seconds" {
  description = "Maximum difference between a delivery's timestamp and now, in the past or in the future."
  type        = number
  default     = 300
  nullable    = false

  validation {
    condition     = var.timestamp_tolerance_seconds >= 60 && var.timestamp_tolerance_seconds <= 3600 && floor(var.timestamp_tolerance_seconds) == var.timestamp_tolerance_seconds
    error_message = "timestamp_tolerance_seconds must be a whole number from 60 to 3600."
  }
}

variable "record_retention_hours" {
  description = "Retention of dedup records. Gemini retries a delivery for 24 hours."
  type        = number
  default     = 72
  nullable    = false

  validation {
    condition     = var.record_retention_hours * 3600 >= 86400 + var.timestamp_tolerance_seconds && var.record_retention_hours <= 8760 && floor(var.record_retention_hours) == var.record_retention_hours
    error_message = "record_retention_hours must be a whole number from 24 (Gemini's retries) plus timestamp_tolerance_seconds to 8760."
  }
}

variable "url_token_required" {
  description = "Whether the dynamic function requires the token in its URL. If false, any customer of the Gemini API can make Google sign a delivery to you, because all customers share Google's keys."
  type        = bool
  default     = true
  nullable    = false
}

variable "jwt_audiences" {
  description = "Accepted audiences of JWTs, the documented form of dynamic deliveries. Null: the dynamic function's own URL. Empty: all JWTs are rejected."
  type        = list(string)
  default     = null

  validation {
    condition     = alltrue([for audience in coalesce(var.jwt_audiences, []) : can(regex("^[^\\s,?]+$", audience))])
    error_message = "jwt_audiences must not contain spaces, commas (which separate audiences) or queries (which are not compared)."
  }
}

variable "jwt_without_event" {
  description = "Whether JWTs whose claims contain no event are accepted. Such a JWT does not bind the body. They are always rejected if url_token_required is false."
  type        = bool
  default     = true
  nullable    = false
}

# Size.

variable "concurrency" {
  description = "Maximum number of concurrent requests of an instance."
  type        = number
  default     = 80
  nullable    = false

  validation {
    condition     = var.concurrency >= 1 && var.concurrency <= 80 && floor(var.concurrency) == var.concurrency
    error_message = "concurrency must be a whole number from 1 to 80: the receiver rejects more (shared/receiver, DefaultLimit)."
  }
}

variable "min_instances" {
  description = "Instances of each receiving function that are kept running. 0 costs nothing while idle; the next delivery then waits for a cold start."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.min_instances >= 0 && floor(var.min_instances) == var.min_instances && var.min_instances <= var.max_instances
    error_message = "min_instances must be a whole number from 0 to max_instances."
  }
}

variable "max_instances" {
  description = "Maximum number of instances of each receiving function. The platform answers requests beyond their capacity with 429, and Gemini retries them."
  type        = number
  default     = 10
  nullable    = false

  validation {
    condition     = var.max_instances >= 1 && var.max_instances <= 1000 && floor(var.max_instances) == var.max_instances
    error_message = "max_instances must be a whole number from 1 to 1000."
  }
}

variable "memory" {
  description = "Memory of an instance."
  type        = string
  default     = "512Mi"
  nullable    = false

  validation {
    condition     = contains(["256Mi", "512Mi", "1Gi", "2Gi", "4Gi"], var.memory)
    error_message = "memory must be 256Mi, 512Mi, 1Gi, 2Gi or 4Gi: one CPU can have no more."
  }
}

variable "cpu" {
  description = "CPUs of an instance."
  type        = string
  default     = "1"
  nullable    = false

  validation {
    condition     = contains(["1", "2"], var.cpu)
    error_message = "cpu must be 1 or 2. With less than one CPU, concurrency is not possible."
  }
}

variable "timeout_seconds" {
  description = "Timeout of a request on the platform. The receiver itself takes less than 10 seconds."
  type        = number
  default     = 15
  nullable    = false

  validation {
    condition     = var.timeout_seconds >= 10 && var.timeout_seconds <= 30 && floor(var.timeout_seconds) == var.timeout_seconds
    error_message = "timeout_seconds must be a whole number from 10 (the receiver takes less) to 30 (the lease on a delivery, which a request must not exceed)."
  }
}

# Topics and subscriptions.

variable "routes" {
  description = "Topic for each event type. A key is a full type, its first part, or * for all others. A value is the id of a topic, which is created, or projects/P/topics/T, which exists and whose owner grants roles/pubsub.publisher to the accounts in the output service_accounts. Null: batch, interaction and video to NAME-batch, NAME-interaction and NAME-video, all others to NAME-other, where NAME is var.name."
  type        = map(string)
  default     = null

  validation {
    condition     = var.routes == null || contains(keys(coalesce(var.routes, {})), "*")
    error_message = "routes must contain *: it is the route of events of a new type."
  }
  validation {
    condition     = alltrue([for type in keys(coalesce(var.routes, {})) : type == "*" || can(regex("^[a-z0-9_]+(\\.[a-z0-9_]+)*$", type))])
    error_message = "A key of routes must be *, an event type (batch.failed), or its first part (batch)."
  }
  validation {
    condition     = alltrue([for topic in values(coalesce(var.routes, {})) : can(regex("^(projects/[a-z][a-z0-9-]{4,28}[a-z0-9]/topics/)?[A-Za-z][A-Za-z0-9._~%+-]{2,249}$", topic)) && !can(regex("(^|/topics/)goog", topic))])
    error_message = "A value of routes must be a topic's id or its full name projects/P/topics/T. The id has 3 to 250 letters, digits and . _ ~ % + -, and begins with a letter, but not with \"goog\"."
  }
  validation {
    condition     = length(setintersection(values(coalesce(var.routes, {})), local.own_topics)) == 0
    error_message = "routes must not name the topic for dead letters, for names of jobs or for rejected names."
  }
}

variable "retired_topics" {
  description = "Topics that are no longer in routes. They are kept with their subscriptions and grants until you remove them here, when their subscriptions are empty."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for topic in var.retired_topics : can(regex("^[A-Za-z][A-Za-z0-9._~%+-]{2,249}$", topic)) && !can(regex("^goog", topic))])
    error_message = "retired_topics must contain ids of topics."
  }
  validation {
    condition     = length(setintersection(var.retired_topics, concat(values(local.routes), local.own_topics))) == 0
    error_message = "retired_topics must not contain a topic of routes, or the topic for dead letters, names of jobs or rejected names."
  }
}

variable "subscriptions" {
  description = "Pull subscriptions with other settings than the default, by topic. By default each created topic has one. { pull = false }: none. { filter = … }: one with a filter in Pub/Sub's language, which cannot be changed later."
  type = map(object({
    pull   = optional(bool, true)
    filter = optional(string)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = length(setsubtract(keys(var.subscriptions), local.topics)) == 0
    error_message = "A key of subscriptions must be a topic that is created: one that routes or retired_topics contain by its id."
  }
  validation {
    condition     = alltrue([for subscription in values(var.subscriptions) : length(coalesce(subscription.filter, "-")) <= 256])
    error_message = "A filter must have at most 256 characters."
  }
}

variable "consumers" {
  description = "IAM members (serviceAccount:…, group:…) that get roles/pubsub.subscriber on each pull subscription."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for member in var.consumers : can(regex("^(serviceAccount|user|group|domain|principal|principalSet):[^\\s]+$", member))])
    error_message = "consumers must contain IAM members with their kind, such as serviceAccount:app@PROJECT.iam.gserviceaccount.com. allUsers and allAuthenticatedUsers are rejected."
  }
}

variable "message_retention_days" {
  description = "Retention of messages on topics, for replays, and of unacknowledged messages on subscriptions."
  type        = number
  default     = 7
  nullable    = false

  validation {
    condition     = var.message_retention_days >= 1 && var.message_retention_days <= 31 && floor(var.message_retention_days) == var.message_retention_days
    error_message = "message_retention_days must be a whole number from 1 to 31."
  }
}

variable "ack_deadline_seconds" {
  description = "Ack deadline of the subscriptions. Pub/Sub redelivers a message that is not acknowledged within it."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.ack_deadline_seconds >= 10 && var.ack_deadline_seconds <= 600 && floor(var.ack_deadline_seconds) == var.ack_deadline_seconds
    error_message = "ack_deadline_seconds must be a whole number from 10 to 600."
  }
}

variable "max_delivery_attempts" {
  description = "Number of delivery attempts after which a message becomes a dead letter."
  type        = number
  default     = 10
  nullable    = false

  validation {
    condition     = var.max_delivery_attempts >= 5 && var.max_delivery_attempts <= 100 && floor(var.max_delivery_attempts) == var.max_delivery_attempts
    error_message = "max_delivery_attempts must be a whole number from 5 to 100."
  }
}

# Reconciler.

variable "reconcile" {
  description = "Mode of the reconciler. off: it is not deployed. report: it logs jobs that ended without a delivery. auto: it also publishes their events, unless Gemini delivered events of this kind and none of them contained the name of a known job. publish: it always publishes them."
  type        = string
  default     = "auto"
  nullable    = false

  validation {
    condition     = contains(["off", "report", "auto", "publish"], var.reconcile)
    error_message = "reconcile must be off, report, auto or publish."
  }
}

variable "reconcile_schedule" {
  description = "Schedule of the passes in cron's notation: every N minutes."
  type        = string
  default     = "*/10 * * * *"
  nullable    = false

  validation {
    condition     = can(regex("^\\*/([5-9]|1[0-9]|20) \\* \\* \\* \\*$", var.reconcile_schedule))
    error_message = "reconcile_schedule must be \"*/N * * * *\" with N from 5 to 20. An alert is raised after 45 minutes without a complete pass, and one failed pass must not raise it."
  }
}

variable "grace_minutes" {
  description = "Time after the end of a job for which the reconciler waits for its delivery. If the delivery comes later, both events are published."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.grace_minutes >= 5 && var.grace_minutes <= 720 && floor(var.grace_minutes) == var.grace_minutes
    error_message = "grace_minutes must be a whole number from 5 to 720."
  }
}

variable "lookback_hours" {
  description = "Maximum time since the end of the batches that a pass looks at. If the reconciler fails for longer, events of batches are lost."
  type        = number
  default     = 48
  nullable    = false

  validation {
    condition = var.reconcile == "off" || (
      var.lookback_hours * 60 > var.grace_minutes + 60 && var.lookback_hours < var.record_retention_hours && floor(var.lookback_hours) == var.lookback_hours
    )
    error_message = "lookback_hours must be a whole number, more than an hour above grace_minutes, and less than record_retention_hours: the event of a job whose record has expired would be published again."
  }
}

variable "reenable" {
  description = "Whether the reconciler enables a webhook that Gemini disabled after failed deliveries, at most once in six hours. It never enables a webhook that a person disabled."
  type        = bool
  default     = false
  nullable    = false
}

variable "static_webhook" {
  description = "Whether a webhook is registered for the static function. If true, an alert is raised if it is missing. Set false if you use dynamic webhooks only."
  type        = bool
  default     = true
  nullable    = false
}

variable "publish_unknown" {
  description = "Whether the reconciler publishes interaction.STATUS for an interaction that ended in a status without a documented event (incomplete, budget_exceeded). If false, it only logs it."
  type        = bool
  default     = false
  nullable    = false
}

variable "job_publishers" {
  description = "IAM members (serviceAccount:…, group:…) that may register jobs: they get roles/pubsub.publisher on the topic NAME-jobs, where NAME is var.name."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for member in var.job_publishers : can(regex("^(serviceAccount|user|group|domain|principal|principalSet):[^\\s]+$", member))])
    error_message = "job_publishers must contain IAM members with their kind, such as serviceAccount:app@PROJECT.iam.gserviceaccount.com. allUsers and allAuthenticatedUsers are rejected."
  }
}

# Data, builds and accounts.

variable "firestore_location" {
  description = "Location of the database: a region, or a multi-region (eur3, nam5, nam7). Null: var.region. It cannot be changed later."
  type        = string
  default     = null

  validation {
    condition     = var.firestore_location == null || can(regex("^([a-z]+-[a-z]+[0-9]+|eur3|nam5|nam7)$", var.firestore_location))
    error_message = "firestore_location must be a region such as europe-west1, or eur3, nam5 or nam7."
  }
}

variable "secret_locations" {
  description = "Regions of the secrets. Empty: Google chooses, which the organization policy gcp.resourceLocations may forbid. It cannot be changed later."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for location in var.secret_locations : can(regex("^[a-z]+-[a-z]+[0-9]+$", location))])
    error_message = "secret_locations must contain regions such as europe-west1."
  }
}

variable "message_regions" {
  description = "Regions in which Pub/Sub may store and handle messages. Empty: all that the organization allows."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for location in var.message_regions : can(regex("^[a-z]+-[a-z]+[0-9]+$", location))])
    error_message = "message_regions must contain regions such as europe-west1."
  }
}

variable "kms_key" {
  description = "Key in Cloud KMS, in var.region, that encrypts the database, the topics, the secrets, the sources and the images: projects/P/locations/REGION/keyRings/R/cryptoKeys/K. The services' agents must be allowed to use it before the first apply. It cannot be changed later. Null: Google's keys."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "kms_key must be a full name: projects/P/locations/REGION/keyRings/R/cryptoKeys/K."
  }
  validation {
    condition = var.kms_key == null || (
      try(split("/", var.kms_key)[3] == var.region, false) && coalesce(var.firestore_location, var.region) == var.region && var.secret_locations == toset([var.region])
    )
    error_message = "kms_key must be in var.region, and firestore_location and secret_locations must be that region too: a key encrypts data of its own region only."
  }
}

variable "build_worker_pool" {
  description = "Private pool of Cloud Build that builds the functions: projects/P/locations/REGION/workerPools/W. Null: Google's pool."
  type        = string
  default     = null

  validation {
    condition     = var.build_worker_pool == null || can(regex("^projects/[^/]+/locations/[^/]+/workerPools/[^/]+$", var.build_worker_pool))
    error_message = "build_worker_pool must be a full name: projects/P/locations/REGION/workerPools/W."
  }
}

variable "service_accounts" {
  description = "Emails of existing service accounts: static, dynamic and reconcile run the functions, build builds them, timer calls the reconciler. Terraform creates those that are not set."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(setsubtract(keys(var.service_accounts), ["static", "dynamic", "reconcile", "build", "timer"])) == 0
    error_message = "service_accounts has the keys static, dynamic, reconcile, build and timer only."
  }
  validation {
    condition     = alltrue([for email in values(var.service_accounts) : can(regex("^[a-z][a-z0-9-]*@[a-z][a-z0-9-]*\\.iam\\.gserviceaccount\\.com$", email))])
    error_message = "service_accounts must contain emails such as NAME@PROJECT.iam.gserviceaccount.com, without \"serviceAccount:\"."
  }
  validation {
    condition     = length(distinct(values(var.service_accounts))) == length(var.service_accounts)
    error_message = "service_accounts must be different from each other: an account that is used twice would have the grants of both."
  }
}

variable "manage_project_iam" {
  description = "Whether Terraform makes the grants on the project as a whole. If false, the output project_grants contains them as commands for an administrator. Terraform makes grants on single resources in either case."
  type        = bool
  default     = true
  nullable    = false
}

variable "deletion_protection" {
  description = "Whether the database, the secrets, the topics and the subscriptions are protected against deletion, and with them the whole installation. To remove it, apply with false first."
  type        = bool
  default     = true
  nullable    = false
}

# Alerts.

variable "notification_channels" {
  description = "Notification channels of all alerts, by full name: projects/P/notificationChannels/N. Without any, incidents are only visible in the console."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for channel in var.notification_channels : can(regex("^projects/[^/]+/notificationChannels/[0-9]+$", channel))])
    error_message = "notification_channels must contain full names: projects/P/notificationChannels/N."
  }
  validation {
    condition     = length(var.notification_channels) <= 16
    error_message = "notification_channels must have at most 16 entries: an alerting policy can have no more."
  }
}

variable "alert_thresholds" {
  description = "Thresholds of alerts. refused: rejected deliveries in ten minutes. unavailable_ratio: share of deliveries that the receiver failed to process. latency_ms: p99 latency. backlog_seconds: age of the oldest unacknowledged message. silence_hours: time without a published event."
  type = object({
    refused           = optional(number, 10)
    unavailable_ratio = optional(number, 0.05)
    latency_ms        = optional(number, 3000)
    backlog_seconds   = optional(number, 3600)
    silence_hours     = optional(number, 24)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.alert_thresholds.unavailable_ratio > 0 && var.alert_thresholds.unavailable_ratio < 1
    error_message = "unavailable_ratio must be between 0 and 1."
  }
  validation {
    condition     = var.alert_thresholds.refused >= 0
    error_message = "refused must not be negative."
  }
  validation {
    condition     = var.alert_thresholds.latency_ms >= 0 && var.alert_thresholds.latency_ms < 10000
    error_message = "latency_ms must be at least 0 and below 10000: an answer takes less, so the alert would never be raised."
  }
  validation {
    condition     = var.alert_thresholds.backlog_seconds >= 0 && var.alert_thresholds.backlog_seconds < var.message_retention_days * 86400
    error_message = "backlog_seconds must be at least 0 and below message_retention_days: no message becomes older."
  }
  validation {
    # The query reads seven times as much data. Cloud Monitoring evaluates at most two
    # years.
    condition     = var.alert_thresholds.silence_hours >= 1 && 7 * var.alert_thresholds.silence_hours <= 2 * 365 * 24 && floor(var.alert_thresholds.silence_hours) == var.alert_thresholds.silence_hours
    error_message = "silence_hours must be a whole number from 1 to 2502: the alert reads seven times as much data, and at most two years."
  }
}

variable "runbooks_url" {
  description = "URL of the folder with the runbook pages. Alerts link to the pages, and also contain their text."
  type        = string
  default     = "https://github.com/geminihook/geminihook/blob/main/terraform/runbooks"
  nullable    = false

  validation {
    condition     = can(regex("^https://[^\\s]+[^/]$", var.runbooks_url))
    error_message = "runbooks_url must be an https URL without a slash at its end."
  }
}
