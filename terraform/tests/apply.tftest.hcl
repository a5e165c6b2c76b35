# What an apply leaves behind, with every provider mocked, and what the next plan
# makes of that. Apart from plan.tftest.hcl: a value overridden during plan makes an
# apply fail.

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
      output.signing_secret == "geminihook-signing-secret" &&
      output.url_token_secret == "geminihook-url-token" &&
      output.url_token_required &&
      output.firestore_database == "geminihook" &&
      output.firestore_collection == "deliveries" &&
      output.dead_letter_topic == "geminihook-dead-letter" &&
      output.dead_letter_subscription == "geminihook-dead-letter" &&
      output.topics == { batch = "gemini-batch", interaction = "gemini-interaction", video = "gemini-video", "*" = "gemini-other" } &&
      output.subscriptions == { for topic in values(output.topics) : topic => "${topic}-pull" } &&
      contains(output.services, "pubsub.googleapis.com")
    )
    error_message = "The outputs are what scripts/webhooks reads."
  }
  assert {
    condition     = strcontains(output.next_steps, "go run ./scripts/webhooks register") && !strcontains(output.next_steps, "token=")
    error_message = "The next steps are printed, no token with them."
  }
}

# What these two plan is asserted by terraform_test.go.

run "changes_nothing_when_nothing_changed" {
  command = plan
}

run "recreates_a_function" {
  command = plan

  plan_options {
    replace = [module.static.google_cloudfunctions2_function.this]
  }
}
