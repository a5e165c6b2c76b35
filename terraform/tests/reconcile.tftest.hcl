# The reconciler's resources and settings, on and off. These runs are not in
# plan.tftest.hcl, because its overrides contain resources that do not exist if the
# reconciler is off.

mock_provider "google" {
  override_during = plan

  mock_resource "google_storage_bucket" {
    defaults = { project_number = 123456789012 }
  }
}

mock_provider "archive" {
  override_during = plan
}

variables {
  project_id = "a-project"
}

run "reconcile_off" {
  command = plan

  variables {
    reconcile              = "off"
    record_retention_hours = 48 # not above lookback_hours, which is not used if reconcile is off
  }

  assert {
    condition     = !contains(output.services, "cloudscheduler.googleapis.com")
    error_message = "Services: want none that only the reconciler needs."
  }
  assert {
    condition = output.reconcile == "off" && alltrue([for value in [
      output.reconcile_function, output.api_key_secret_name, output.jobs_topic, output.jobs_subscription,
      output.jobs_dead_letter_topic, output.jobs_collection, output.state_collection,
      output.grace, output.look_back, output.reenable, output.publish_unknown,
    ] : value == null])
    error_message = "Outputs: want reconcile = off, and null for the others about the reconciler."
  }
  assert {
    condition     = !strcontains(output.next_steps, "api-key") && startswith(output.next_steps, "go run ./scripts/geminihook register ")
    error_message = "next_steps: want no api-key command."
  }
}

run "reconcile_other_values" {
  command = plan

  variables {
    reconcile              = "report"
    reconcile_schedule     = "*/5 * * * *"
    grace_minutes          = 30
    lookback_hours         = 24
    record_retention_hours = 25
    reenable               = true
    static_webhook         = false
    message_retention_days = 31
    publish_unknown        = true
    secret_locations       = ["europe-west1"]
    job_publishers         = ["serviceAccount:app@a-project.iam.gserviceaccount.com", "group:team@example.com"]
  }

  assert {
    condition     = google_cloud_scheduler_job.reconcile[0].schedule == "*/5 * * * *"
    error_message = "Schedule: want that of the variable."
  }
  assert {
    condition     = { for key, grant in google_pubsub_topic_iam_member.job_publishers : key => "${grant.topic} ${grant.role}" } == { for member in var.job_publishers : member => "geminihook-jobs roles/pubsub.publisher" }
    error_message = "Job publishers: want a grant for each member of the variable."
  }
  assert {
    condition     = google_secret_manager_secret.api_key[0].replication[0].user_managed[0].replicas[*].location == tolist(["europe-west1"])
    error_message = "API key: want the same regions as for the other secrets."
  }
  assert {
    condition = (
      google_pubsub_topic.jobs[0].message_retention_duration == "604800s" &&
      google_pubsub_subscription.jobs[0].message_retention_duration == "604800s" &&
      google_pubsub_subscription.dead_letter.message_retention_duration == "2678400s"
    )
    error_message = "Names of jobs: want a week at most, which is less than the retention of closed jobs."
  }
  assert {
    condition     = !output.static_webhook && !strcontains(output.next_steps, " register ") && strcontains(output.next_steps, " dynamic-url ")
    error_message = "Outputs: want no step for a static webhook if none is used."
  }
  assert {
    condition     = endswith(google_monitoring_alert_policy.this["secret"].conditions[0].condition_matched_log[0].filter, " AND resource.labels.service_name=\"geminihook-dynamic\"")
    error_message = "Alert secret: want none for the signing secret if no static webhook is used."
  }
}

run "reconcile_takes_null_for_the_default" {
  command = plan

  variables {
    reconcile          = null
    reconcile_schedule = null
    grace_minutes      = null
    lookback_hours     = null
    reenable           = null
    static_webhook     = null
    publish_unknown    = null
    job_publishers     = null
  }

  assert {
    condition     = output.reconcile == "auto"
    error_message = "Variables that are null: want their defaults."
  }
}

run "refuses_unknown_modes" {
  command = plan

  variables {
    reconcile          = "on"
    reconcile_schedule = "0 * * * *"
    grace_minutes      = 4
    job_publishers     = ["app@a-project.iam.gserviceaccount.com"]
  }

  expect_failures = [var.reconcile, var.reconcile_schedule, var.grace_minutes, var.job_publishers]
}

run "refuses_passes_too_rare_for_the_alert" {
  command = plan

  variables {
    reconcile_schedule = "*/21 * * * *"
    grace_minutes      = 721
    job_publishers     = ["allUsers"]
  }

  expect_failures = [var.reconcile_schedule, var.grace_minutes, var.job_publishers]
}

run "refuses_passes_too_dense_for_their_deadline" {
  command = plan

  variables {
    reconcile_schedule = "*/4 * * * *"
    grace_minutes      = 10.5
  }

  expect_failures = [var.reconcile_schedule, var.grace_minutes]
}

run "refuses_to_look_back_beyond_the_records" {
  command = plan

  variables {
    record_retention_hours = 48
  }

  expect_failures = [var.lookback_hours]
}

run "refuses_a_look_back_within_the_grace" {
  command = plan

  variables {
    grace_minutes  = 120
    lookback_hours = 3
  }

  expect_failures = [var.lookback_hours]
}

run "refuses_a_fraction_of_a_look_back" {
  command = plan

  variables {
    lookback_hours = 47.5
  }

  expect_failures = [var.lookback_hours]
}

run "refuses_the_topics_of_jobs_as_routes" {
  command = plan

  variables {
    routes         = { "*" = "geminihook-jobs" }
    lookback_hours = 72
  }

  expect_failures = [var.routes, var.lookback_hours]
}

run "refuses_to_retire_the_topics_of_jobs" {
  command = plan

  variables {
    retired_topics = ["geminihook-jobs-rejected"]
  }

  expect_failures = [var.retired_topics]
}
