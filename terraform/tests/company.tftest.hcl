# Data and builds under the company's control. That every resource of a kind has the
# key is asserted by company_test.go.

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

run "company" {
  command = plan

  variables {
    region            = "europe-west1"
    secret_locations  = ["europe-west1"]
    message_regions   = ["europe-west1", "europe-west4"]
    kms_key           = "projects/keys/locations/europe-west1/keyRings/hooks/cryptoKeys/data"
    build_worker_pool = "projects/builds/locations/europe-west1/workerPools/private"
  }
}

run "refuses_a_key_that_is_elsewhere" {
  command = plan

  variables {
    secret_locations  = ["us-central1"]
    message_regions   = ["europe"]
    kms_key           = "projects/keys/locations/europe-west1/keyRings/hooks/cryptoKeys/data"
    build_worker_pool = "private"
  }

  expect_failures = [var.kms_key, var.message_regions, var.build_worker_pool]
}

run "refuses_a_key_for_secrets_anywhere" {
  command = plan

  variables {
    kms_key = "projects/keys/locations/us-central1/keyRings/hooks/cryptoKeys/data"
  }

  expect_failures = [var.kms_key]
}

run "refuses_a_key_by_its_short_name" {
  command = plan

  variables {
    secret_locations = ["us-central1"]
    kms_key          = "data"
  }

  expect_failures = [var.kms_key]
}
