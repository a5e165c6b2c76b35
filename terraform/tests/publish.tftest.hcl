# Topics of other projects, and subscriptions with other settings than the default.

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

run "consumers_own" {
  command = plan

  variables {
    routes = {
      batch          = "batches"
      "batch.failed" = "trouble"
      video          = "projects/another-project/topics/clips"
      "*"            = "rest"
    }
    subscriptions = {
      batches = { pull = false }
      trouble = { filter = "attributes.\"ce-scheme\" = \"v1\"" }
    }
    consumers = ["serviceAccount:worker@a-project.iam.gserviceaccount.com", "group:team@example.com"]
  }

  assert {
    condition     = toset(keys(google_pubsub_topic.route)) == toset(["batches", "trouble", "rest"]) && toset(keys(google_pubsub_subscription.route)) == toset(["trouble", "rest"])
    error_message = "Topics and subscriptions: want none for the topic of another project, and no subscription for pull = false."
  }
  assert {
    condition     = google_pubsub_subscription.route["trouble"].filter == "attributes.\"ce-scheme\" = \"v1\""
    error_message = "Filter: want that of the variable."
  }
  assert {
    condition     = output.routes["video"] == "projects/another-project/topics/clips" && !contains([for grant in google_pubsub_topic_iam_member.route : grant.topic], "projects/another-project/topics/clips")
    error_message = "Topic of another project: want it in the routes, and no grant on it."
  }
  assert {
    condition = (
      length(google_pubsub_subscription_iam_member.consumers) == 4 &&
      alltrue([for grant in google_pubsub_subscription_iam_member.consumers : grant.role == "roles/pubsub.subscriber" && contains(var.consumers, grant.member)]) &&
      toset([for grant in google_pubsub_subscription_iam_member.consumers : grant.subscription]) == toset(["trouble-pull", "rest-pull"])
    )
    error_message = "Consumers: want a grant on each pull subscription."
  }
  assert {
    condition     = strcontains(output.next_steps, "subscriptions pull rest-pull ")
    error_message = "next_steps: want a subscription that exists."
  }
}

run "no_subscription_for_the_rest" {
  command = plan

  variables {
    routes = { "*" = "projects/another-project/topics/events" }
  }

  assert {
    condition     = !strcontains(output.next_steps, "subscriptions pull") && length(google_pubsub_topic.route) == 0
    error_message = "next_steps: want no pull command."
  }
}

run "refuses_a_subscription_of_no_topic" {
  command = plan

  variables {
    subscriptions = { "geminihook-batches" = { pull = false } }
    consumers     = ["allUsers"]
  }

  expect_failures = [var.subscriptions, var.consumers]
}

run "refuses_a_foreign_topic_without_its_project" {
  command = plan

  variables {
    routes = { "*" = "topics/events" }
  }

  expect_failures = [var.routes]
}
