# Where, and under what name.

variable "project_id" {
  description = "Id of the Google Cloud project. It must exist and have billing; nothing else is needed in it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "A project id: 6 to 30 lower-case letters, digits and hyphens. Ids of the old form \"domain:project\" have another URL and are not supported."
  }
}

variable "region" {
  description = "Region of the functions, their images and the source bucket, and of the database unless firestore_location says otherwise."
  type        = string
  default     = "us-central1"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "A region such as europe-west1: no zone, no multi-region."
  }
}

variable "name" {
  description = "Name of the installation: the names of its resources begin with it, and it is the database's name. Two installations in one project need two names."
  type        = string
  default     = "geminihook"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,20}[a-z0-9]$", var.name))
    error_message = "4 to 22 lower-case letters, digits and hyphens, a letter first and no hyphen last: service accounts allow 30 characters, databases no fewer than 4."
  }
  validation {
    condition     = !can(regex("g[o0]{2}g", var.name))
    error_message = "No \"goog\", \"google\" or a likeness of it: Pub/Sub and Cloud Storage refuse such names."
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
  validation {
    condition     = length(var.labels) <= 62 && alltrue([for key in keys(var.labels) : !can(regex("^goog", key))])
    error_message = "At most 62, and no key that begins with \"goog\": a resource may have 64, of which one is ours (app) and one the provider's (goog-terraform-provisioned)."
  }
}

variable "project_number" {
  description = "Number of the project. Needed with images, whose URLs contain it. Null: it is read from the bucket that holds the sources."
  type        = number
  default     = null

  validation {
    condition     = var.project_number == null || try(var.project_number > 0 && floor(var.project_number) == var.project_number, false)
    error_message = "A number, as `gcloud projects describe PROJECT --format='value(projectNumber)'` prints it."
  }
}

variable "images" {
  description = "Images of the functions, with their digests: REGION-docker.pkg.dev/P/R/static@sha256:… cloudbuild.yaml builds them. They are deployed as Cloud Run services that need no grant to allUsers. Null: functions are built from source, and allUsers may call the two public ones."
  type = object({
    static    = string
    dynamic   = string
    reconcile = optional(string)
  })
  default = null

  validation {
    condition     = alltrue([for image in values(coalesce(var.images, {})) : image == null || can(regex("^[a-z0-9.-]+(:[0-9]+)?/[^@\\s]+@sha256:[0-9a-f]{64}$", image))])
    error_message = "Images with their digest, NAME@sha256:…: a tag that is moved would change nothing."
  }
  validation {
    condition     = !anytrue([for image in values(coalesce(var.images, {})) : startswith(coalesce(image, "-"), "${var.region}-docker.pkg.dev/${var.project_id}/${var.name}/")])
    error_message = "The repository with the installation's name is Terraform's own, and is destroyed with the functions: keep images in another."
  }
  validation {
    condition     = var.images == null || (var.project_number != null && try(var.images.static != null && var.images.dynamic != null && (var.reconcile == "off" || var.images.reconcile != null), false))
    error_message = "images needs project_number, and an image for each function: static, dynamic, and reconcile unless reconcile = \"off\"."
  }
}

variable "urls" {
  description = "URLs of the two functions at an address of your own: the output urls of the module terraform/edge. Requests then reach the functions through a load balancer only. Null: Google's URLs."
  type = object({
    static  = string
    dynamic = string
  })
  default = null

  validation {
    condition     = alltrue([for url in values(coalesce(var.urls, {})) : can(regex("^https://[^/?#\\s]+/[^?#\\s]*$", url))])
    error_message = "https URLs with a path and without a query: the token is added to the dynamic one."
  }
}

# What the receiver accepts.

variable "timestamp_tolerance_seconds" {
  description = "How far a delivery's timestamp may be from now, either way."
  type        = number
  default     = 300
  nullable    = false

  validation {
    condition     = var.timestamp_tolerance_seconds >= 60 && var.timestamp_tolerance_seconds <= 3600 && floor(var.timestamp_tolerance_seconds) == var.timestamp_tolerance_seconds
    error_message = "Whole seconds, 60 to 3600."
  }
}

variable "record_retention_hours" {
  description = "How long it is remembered that a delivery was taken. The sender retries for 24 hours."
  type        = number
  default     = 72
  nullable    = false

  validation {
    condition     = var.record_retention_hours * 3600 >= 86400 + var.timestamp_tolerance_seconds && var.record_retention_hours <= 8760 && floor(var.record_retention_hours) == var.record_retention_hours
    error_message = "Whole hours, from 24 (the sender's retries) and the timestamp tolerance to 8760, a year."
  }
}

variable "url_token_required" {
  description = "Whether the dynamic function demands the token in its URL. Google's keys sign for every Gemini customer: without the token, anybody's genuine delivery is taken for yours."
  type        = bool
  default     = true
  nullable    = false
}

variable "jwt_audiences" {
  description = "Audiences accepted in JWTs, the documented form of dynamic deliveries. Null: the dynamic function's own URL. Empty: every JWT is refused."
  type        = list(string)
  default     = null

  validation {
    condition     = alltrue([for audience in coalesce(var.jwt_audiences, []) : can(regex("^[^\\s,?]+$", audience))])
    error_message = "No blanks or commas, which separate audiences, and no query, which is not compared."
  }
}

variable "jwt_without_event" {
  description = "Whether JWTs whose claims carry no event are accepted, if url_token_required is true as well: nothing in them binds the body. If it is false, they are always refused."
  type        = bool
  default     = true
  nullable    = false
}

# How the functions run.

variable "concurrency" {
  description = "Requests that one instance serves at a time."
  type        = number
  default     = 80
  nullable    = false

  validation {
    condition     = var.concurrency >= 1 && var.concurrency <= 80 && floor(var.concurrency) == var.concurrency
    error_message = "1 to 80: beyond that the receiver itself refuses (shared/receiver, DefaultLimit)."
  }
}

variable "min_instances" {
  description = "Instances of each function kept running. 0 costs nothing while idle; the first delivery then waits for a cold start, and the sender for us."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.min_instances >= 0 && floor(var.min_instances) == var.min_instances && var.min_instances <= var.max_instances
    error_message = "0 to max_instances."
  }
}

variable "max_instances" {
  description = "Most instances of each function. What they cannot take is answered 429, and sent again."
  type        = number
  default     = 10
  nullable    = false

  validation {
    condition     = var.max_instances >= 1 && var.max_instances <= 1000 && floor(var.max_instances) == var.max_instances
    error_message = "1 to 1000."
  }
}

variable "memory" {
  description = "Memory of an instance."
  type        = string
  default     = "512Mi"
  nullable    = false

  validation {
    condition     = contains(["256Mi", "512Mi", "1Gi", "2Gi", "4Gi"], var.memory)
    error_message = "256Mi, 512Mi, 1Gi, 2Gi or 4Gi: what one CPU may have."
  }
}

variable "cpu" {
  description = "CPUs of an instance."
  type        = string
  default     = "1"
  nullable    = false

  validation {
    condition     = contains(["1", "2"], var.cpu)
    error_message = "1 or 2. Less than one CPU allows no concurrency."
  }
}

variable "timeout_seconds" {
  description = "When the platform gives up on a request. The receiver itself takes less than 10 seconds."
  type        = number
  default     = 15
  nullable    = false

  validation {
    condition     = var.timeout_seconds >= 10 && var.timeout_seconds <= 30 && floor(var.timeout_seconds) == var.timeout_seconds
    error_message = "10 (what the receiver may take) to 30 (the lease on a claimed delivery, which a request must not outlive)."
  }
}

# Where deliveries go.

variable "routes" {
  description = "The topic for each event type: a full type or its first part, or * for all others, to the id of a topic, which is created, or to projects/P/topics/T, which exists: the owner grants roles/pubsub.publisher on it to the accounts in the output service_accounts. Null: batch, interaction and video to NAME-batch, NAME-interaction and NAME-video, all others to NAME-other, where NAME is var.name."
  type        = map(string)
  default     = null

  validation {
    condition     = var.routes == null || contains(keys(coalesce(var.routes, {})), "*")
    error_message = "The route * is required: an event of a new type must have somewhere to go."
  }
  validation {
    condition     = alltrue([for type in keys(coalesce(var.routes, {})) : type == "*" || can(regex("^[a-z0-9_]+(\\.[a-z0-9_]+)*$", type))])
    error_message = "A route is *, an event type (batch.failed), or a type's first part (batch)."
  }
  validation {
    condition     = alltrue([for topic in values(coalesce(var.routes, {})) : can(regex("^(projects/[a-z][a-z0-9-]{4,28}[a-z0-9]/topics/)?[A-Za-z][A-Za-z0-9._~%+-]{2,249}$", topic)) && !can(regex("(^|/topics/)goog", topic))])
    error_message = "A topic's id, or its full name projects/P/topics/T: 3 to 250 letters, digits and . _ ~ % + -, a letter first, not \"goog\"."
  }
  validation {
    condition     = length(setintersection(values(coalesce(var.routes, {})), local.own_topics)) == 0
    error_message = "That topic is the one for dead letters, for the names of jobs or for rejected names."
  }
}

variable "retired_topics" {
  description = "Topics that no route names any longer, kept with their subscriptions and grants until what is on them has been taken."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for topic in var.retired_topics : can(regex("^[A-Za-z][A-Za-z0-9._~%+-]{2,249}$", topic)) && !can(regex("^goog", topic))])
    error_message = "Ids of topics that routes once named."
  }
  validation {
    condition     = length(setintersection(var.retired_topics, concat(values(local.routes), local.own_topics))) == 0
    error_message = "A topic that a route names, or that is for dead letters or for the names of jobs, is not retired."
  }
}

variable "subscriptions" {
  description = "Pull subscriptions that differ from the default, which is one for each topic that is created: topic = { pull = false } for none, topic = { filter = … } for one with a filter in Pub/Sub's language, which cannot be changed later."
  type = map(object({
    pull   = optional(bool, true)
    filter = optional(string)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = length(setsubtract(keys(var.subscriptions), local.topics)) == 0
    error_message = "A topic that is created: one that a route or retired_topics names by its id."
  }
  validation {
    condition     = alltrue([for subscription in values(var.subscriptions) : length(coalesce(subscription.filter, "-")) <= 256])
    error_message = "A filter has at most 256 characters."
  }
}

variable "consumers" {
  description = "IAM members (serviceAccount:…, group:…) that may take messages: they get roles/pubsub.subscriber on each pull subscription."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for member in var.consumers : can(regex("^(serviceAccount|user|group|domain|principal|principalSet):[^\\s]+$", member))])
    error_message = "IAM members with their kind, such as serviceAccount:app@PROJECT.iam.gserviceaccount.com. allUsers and allAuthenticatedUsers are refused."
  }
}

variable "message_retention_days" {
  description = "How long topics keep messages, to be replayed, and subscriptions what nobody has taken."
  type        = number
  default     = 7
  nullable    = false

  validation {
    condition     = var.message_retention_days >= 1 && var.message_retention_days <= 31 && floor(var.message_retention_days) == var.message_retention_days
    error_message = "Whole days, 1 to 31."
  }
}

variable "ack_deadline_seconds" {
  description = "How long a subscriber has for a message before it is delivered to it again."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.ack_deadline_seconds >= 10 && var.ack_deadline_seconds <= 600 && floor(var.ack_deadline_seconds) == var.ack_deadline_seconds
    error_message = "10 to 600."
  }
}

variable "max_delivery_attempts" {
  description = "How often a message is delivered to a subscriber before it becomes a dead letter."
  type        = number
  default     = 10
  nullable    = false

  validation {
    condition     = var.max_delivery_attempts >= 5 && var.max_delivery_attempts <= 100 && floor(var.max_delivery_attempts) == var.max_delivery_attempts
    error_message = "5 to 100."
  }
}

# Jobs whose delivery never comes.

variable "reconcile" {
  description = "What the reconciler does about jobs that ended without an event. off: it is not deployed. report: it logs them. auto: it also publishes their events, unless the names of jobs cannot be compared with recorded events. publish: it publishes them without that comparison."
  type        = string
  default     = "auto"
  nullable    = false

  validation {
    condition     = contains(["off", "report", "auto", "publish"], var.reconcile)
    error_message = "off, report, auto or publish."
  }
}

variable "reconcile_schedule" {
  description = "When a pass starts, in cron's notation: every N minutes."
  type        = string
  default     = "*/10 * * * *"
  nullable    = false

  validation {
    condition     = can(regex("^\\*/([5-9]|1[0-9]|20) \\* \\* \\* \\*$", var.reconcile_schedule))
    error_message = "\"*/N * * * *\" with N from 5 to 20: an alert goes off if 45 minutes pass without a complete pass, which must be more than one failed pass."
  }
}

variable "grace_minutes" {
  description = "How long after the end of a job its delivery is waited for. A delivery that comes later is published beside the reconciler's copy."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.grace_minutes >= 5 && var.grace_minutes <= 720 && floor(var.grace_minutes) == var.grace_minutes
    error_message = "Whole minutes, 5 to 720."
  }
}

variable "lookback_hours" {
  description = "How far back a pass looks for jobs that ended. After an outage of the reconciler that is longer, jobs are missed for good."
  type        = number
  default     = 48
  nullable    = false

  validation {
    condition = var.reconcile == "off" || (
      var.lookback_hours * 60 > var.grace_minutes + 60 && var.lookback_hours < var.record_retention_hours && floor(var.lookback_hours) == var.lookback_hours
    )
    error_message = "Whole hours, more than one above grace_minutes and below record_retention_hours: a job whose record has expired would be published again."
  }
}

variable "reenable" {
  description = "Whether the reconciler enables a webhook again that the Gemini API disabled after failed deliveries, at most once in six hours. It never enables a webhook that a person disabled."
  type        = bool
  default     = false
  nullable    = false
}

variable "static_webhook" {
  description = "Whether a webhook is registered for the static function. If true, its absence is an alert. false: only dynamic webhooks are used."
  type        = bool
  default     = true
  nullable    = false
}

variable "publish_unknown" {
  description = "Whether the reconciler publishes the ends of interactions that have no documented event (incomplete, budget_exceeded), as interaction.STATUS. If false, it only logs them."
  type        = bool
  default     = false
  nullable    = false
}

variable "job_publishers" {
  description = "IAM members (serviceAccount:…, group:…) that may register jobs: they get roles/pubsub.publisher on the topic NAME-jobs."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for member in var.job_publishers : can(regex("^(serviceAccount|user|group|domain|principal|principalSet):[^\\s]+$", member))])
    error_message = "IAM members with their kind, such as serviceAccount:app@PROJECT.iam.gserviceaccount.com. allUsers and allAuthenticatedUsers are refused."
  }
}

# What is kept.

variable "firestore_location" {
  description = "Location of the database: a region, or the multi-regions eur3 and nam5. Null: var.region. It cannot be changed later."
  type        = string
  default     = null

  validation {
    condition     = var.firestore_location == null || can(regex("^([a-z]+-[a-z]+[0-9]+|eur3|nam5|nam7)$", var.firestore_location))
    error_message = "A region such as europe-west1, or eur3, nam5, nam7."
  }
}

variable "secret_locations" {
  description = "Regions that the secrets are kept in. Empty: Google chooses, which the organization policy gcp.resourceLocations may forbid. It cannot be changed later."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for location in var.secret_locations : can(regex("^[a-z]+-[a-z]+[0-9]+$", location))])
    error_message = "Regions such as europe-west1."
  }
}

variable "message_regions" {
  description = "Regions in which Pub/Sub may store and handle messages. Empty: those that the organization allows."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for location in var.message_regions : can(regex("^[a-z]+-[a-z]+[0-9]+$", location))])
    error_message = "Regions such as europe-west1."
  }
}

variable "kms_key" {
  description = "Key in Cloud KMS, in var.region, that encrypts the database, the topics, the secrets, the sources and the images: projects/P/locations/REGION/keyRings/R/cryptoKeys/K. The services' agents must be allowed to use it. It cannot be changed later. Null: Google's keys."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "A key's full name: projects/P/locations/REGION/keyRings/R/cryptoKeys/K."
  }
  validation {
    condition = var.kms_key == null || (
      try(split("/", var.kms_key)[3] == var.region, false) && coalesce(var.firestore_location, var.region) == var.region && var.secret_locations == toset([var.region])
    )
    error_message = "A key serves one region: that of the key, region, firestore_location and secret_locations must be one."
  }
}

variable "build_worker_pool" {
  description = "Private pool of Cloud Build that builds the functions: projects/P/locations/REGION/workerPools/W. Null: Google's pool."
  type        = string
  default     = null

  validation {
    condition     = var.build_worker_pool == null || can(regex("^projects/[^/]+/locations/[^/]+/workerPools/[^/]+$", var.build_worker_pool))
    error_message = "A pool's full name: projects/P/locations/REGION/workerPools/W."
  }
}

variable "service_accounts" {
  description = "Service accounts made elsewhere, by what they do, as emails: static, dynamic and reconcile run the functions, build builds them, timer calls the reconciler. An account that is not named here is created."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(setsubtract(keys(var.service_accounts), ["static", "dynamic", "reconcile", "build", "timer"])) == 0
    error_message = "Accounts are named static, dynamic, reconcile, build and timer."
  }
  validation {
    condition     = alltrue([for email in values(var.service_accounts) : can(regex("^[a-z][a-z0-9-]*@[a-z][a-z0-9-]*\\.iam\\.gserviceaccount\\.com$", email))])
    error_message = "Emails such as NAME@PROJECT.iam.gserviceaccount.com, without \"serviceAccount:\"."
  }
  validation {
    condition     = length(distinct(values(var.service_accounts))) == length(var.service_accounts)
    error_message = "An account for each: a shared one would have the grants of all that share it."
  }
}

variable "manage_project_iam" {
  description = "Whether Terraform makes the grants on the project as a whole. If false, the output project_grants prints them for an administrator to make. Grants on single resources are made in either case."
  type        = bool
  default     = true
  nullable    = false
}

variable "deletion_protection" {
  description = "Whether the database, the secrets, the topics and the subscriptions resist being destroyed, and with them the whole installation. To tear down: apply with false first."
  type        = bool
  default     = true
  nullable    = false
}

# Who is told.

variable "notification_channels" {
  description = "Notification channels for all alerts, by full name: projects/P/notificationChannels/N. With none, incidents only show in the console."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for channel in var.notification_channels : can(regex("^projects/[^/]+/notificationChannels/[0-9]+$", channel))])
    error_message = "Full names: projects/P/notificationChannels/N."
  }
  validation {
    condition     = length(var.notification_channels) <= 16
    error_message = "At most 16: an alerting policy takes no more."
  }
}

variable "alert_thresholds" {
  description = "When alerts go off: refused deliveries in ten minutes, the share that we could not take, the slowest hundredth, the age of the oldest message that no subscriber took, and hours without a delivery."
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
    error_message = "unavailable_ratio is a share between 0 and 1."
  }
  validation {
    condition     = var.alert_thresholds.refused >= 0
    error_message = "refused is not negative."
  }
  validation {
    condition     = var.alert_thresholds.latency_ms >= 0 && var.alert_thresholds.latency_ms < 10000
    error_message = "latency_ms is below 10000: an answer takes less, so that the alert would never go off."
  }
  validation {
    condition     = var.alert_thresholds.backlog_seconds >= 0 && var.alert_thresholds.backlog_seconds < var.message_retention_days * 86400
    error_message = "backlog_seconds is below message_retention_days: no message gets older."
  }
  validation {
    # The query looks back seven times as far. Cloud Monitoring evaluates two years of data.
    condition     = var.alert_thresholds.silence_hours >= 1 && 7 * var.alert_thresholds.silence_hours <= 2 * 365 * 24 && floor(var.alert_thresholds.silence_hours) == var.alert_thresholds.silence_hours
    error_message = "silence_hours is a whole number of hours, 1 to 2502: the alert looks back seven times as far, and at most two years."
  }
}

variable "runbooks_url" {
  description = "Where the runbook pages can be read: alerts link to them, and carry their text besides."
  type        = string
  default     = "https://github.com/geminihook/geminihook/blob/main/terraform/runbooks"
  nullable    = false

  validation {
    condition     = can(regex("^https://[^\\s]+[^/]$", var.runbooks_url))
    error_message = "An https URL without a slash at its end."
  }
}
