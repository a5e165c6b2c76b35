# The configuration as a module: twice in one project, and in the example. module_test.go
# checks the plans of these runs.

mock_provider "google" {
  override_during = plan

  mock_resource "google_storage_bucket" {
    defaults = { project_number = 123456789012 }
  }
}

mock_provider "archive" {
  override_during = plan
}

run "two_installations" {
  command = plan

  module {
    source = "./tests/two"
  }
}

run "example" {
  command = plan

  module {
    source = "../examples/terraform"
  }

  variables {
    project_id       = "a-project"
    consumer         = "serviceAccount:worker@a-project.iam.gserviceaccount.com"
    push_endpoint    = "https://worker-123456789012.us-central1.run.app/events"
    push_service     = "worker"
    bigquery_dataset = "webhooks"
  }
}
