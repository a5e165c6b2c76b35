# The state after an apply with mocked providers, and the plans that follow from it. These
# runs are not in plan.tftest.hcl, because an apply fails if a value is overridden during
# the plan.

mock_provider "google" {
  mock_resource "google_storage_bucket" {
    defaults = { project_number = 123456789012 }
  }
}

mock_provider "archive" {
  mock_data "archive_file" {
    defaults = { output_md5 = "0123456789abcdef0123456789abcdef" }
  }
}

variables {
  project_id = "a-project"
}

run "apply" {
  assert {
    condition = (
      output.project == "a-project" &&
      output.region == "us-central1" &&
      output.static_function == "geminihook-static" &&
      output.dynamic_function == "geminihook-dynamic" &&
      output.static_url == "https://us-central1-a-project.cloudfunctions.net/geminihook-static" &&
      output.dynamic_url == "https://us-central1-a-project.cloudfunctions.net/geminihook-dynamic" &&
      output.signing_secret_name == "geminihook-signing-secret" &&
      output.url_token_secret_name == "geminihook-url-token" &&
      output.url_token_required &&
      output.firestore_database == "geminihook" &&
      output.firestore_collection == "deliveries" &&
      output.dead_letter_topic == "geminihook-dead-letter" &&
      output.dead_letter_subscription == "geminihook-dead-letter" &&
      output.routes == { batch = "geminihook-batch", interaction = "geminihook-interaction", video = "geminihook-video", "*" = "geminihook-other" } &&
      output.subscriptions == { for topic in values(output.routes) : topic => "${topic}-pull" } &&
      output.reconcile == "auto" &&
      output.reconcile_function == "geminihook-reconcile" &&
      output.api_key_secret_name == "geminihook-api-key" &&
      output.jobs_topic == "geminihook-jobs" &&
      output.jobs_subscription == "geminihook-jobs" &&
      output.jobs_dead_letter_topic == "geminihook-jobs-rejected" &&
      output.jobs_collection == "jobs" &&
      output.state_collection == "reconcile" &&
      output.grace == "60m" &&
      output.look_back == "48h" &&
      output.record_retention == "72h" &&
      !output.reenable &&
      output.static_webhook &&
      !output.publish_unknown &&
      contains(output.services, "pubsub.googleapis.com") &&
      contains(output.services, "cloudscheduler.googleapis.com")
    )
    error_message = "Outputs: want the values that scripts/geminihook reads."
  }
  assert {
    condition     = startswith(output.next_steps, "go run ./scripts/geminihook api-key ") && strcontains(output.next_steps, "\ngo run ./scripts/geminihook register ") && !strcontains(output.next_steps, "token=")
    error_message = "next_steps: want the commands, without a token."
  }
}

# terraform_test.go and protection_test.go check the plans of these runs.

run "changes_nothing_when_nothing_changed" {
  command = plan
}

run "recreates_a_function" {
  command = plan

  plan_options {
    replace = [module.static.google_cloudfunctions2_function.this[0]]
  }
}

run "replaces_a_topic" {
  command = plan

  plan_options {
    replace = [
      google_pubsub_topic.route["geminihook-batch"],
      google_pubsub_subscription.route["geminihook-batch"],
      google_pubsub_topic_iam_member.route["geminihook-batch/static"],
      google_pubsub_topic_iam_member.route["geminihook-batch/dynamic"],
    ]
  }
}

run "moves_a_route" {
  command = plan

  variables {
    routes         = { batch = "elsewhere", interaction = "geminihook-interaction", video = "geminihook-video", "*" = "geminihook-other" }
    retired_topics = ["geminihook-batch"]
  }
}

run "turns_reconcile_off" {
  command = plan

  variables {
    reconcile = "off"
  }
}

# Here the plan depends on values that are known only after the apply.

run "takes_accounts_of_the_same_apply" {
  command = plan

  module {
    source = "./tests/two"
  }

  variables {
    accounts = true
  }
}

# The identity of an installation cannot change, even without deletion protection.

run "refuses_to_rename" {
  command = plan

  variables {
    name = "hooks"
  }

  expect_failures = [terraform_data.installation]
}

run "refuses_to_move" {
  command = plan

  variables {
    region              = "europe-west1"
    deletion_protection = false
  }

  expect_failures = [terraform_data.installation]
}

run "refuses_to_move_the_database" {
  command = plan

  variables {
    firestore_location = "nam5"
  }

  expect_failures = [terraform_data.installation]
}

run "refuses_another_project" {
  command = plan

  variables {
    project_id = "another-project"
  }

  expect_failures = [terraform_data.installation]
}
