# Data and builds under a company's control. company_test.go checks that each resource
# that can have the key has it.

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

run "their_accounts" {
  command = plan

  variables {
    service_accounts = {
      static    = "hooks-static@accounts.iam.gserviceaccount.com"
      dynamic   = "hooks-dynamic@accounts.iam.gserviceaccount.com"
      reconcile = "hooks-reconcile@accounts.iam.gserviceaccount.com"
      build     = "hooks-build@accounts.iam.gserviceaccount.com"
      timer     = "hooks-timer@accounts.iam.gserviceaccount.com"
    }
  }
}

run "their_accounts_and_grants" {
  command = plan

  variables {
    service_accounts = {
      static    = "hooks-static@accounts.iam.gserviceaccount.com"
      dynamic   = "hooks-dynamic@accounts.iam.gserviceaccount.com"
      reconcile = "hooks-reconcile@accounts.iam.gserviceaccount.com"
      build     = "hooks-build@accounts.iam.gserviceaccount.com"
      timer     = "hooks-timer@accounts.iam.gserviceaccount.com"
    }
    manage_project_iam = false
  }
}

run "their_grants_without_build_and_reconciler" {
  command = plan

  variables {
    service_accounts   = { static = "hooks-static@accounts.iam.gserviceaccount.com", dynamic = "hooks-dynamic@accounts.iam.gserviceaccount.com" }
    project_number     = 123456789012
    manage_project_iam = false
    reconcile          = "off"
    images = {
      static  = "us-central1-docker.pkg.dev/a-project/hooks/static@sha256:0000000000000000000000000000000000000000000000000000000000000001"
      dynamic = "us-central1-docker.pkg.dev/a-project/hooks/dynamic@sha256:0000000000000000000000000000000000000000000000000000000000000002"
    }
  }

  assert {
    condition     = length(regexall("\n", output.project_grants)) == 2 && length(regexall("roles/datastore.user", output.project_grants)) == 2
    error_message = "Grants without build and reconciler: want those of the two functions only."
  }
}

run "refuses_accounts_it_does_not_know" {
  command = plan

  variables {
    service_accounts = { builder = "hooks-build@accounts.iam.gserviceaccount.com" }
  }

  expect_failures = [var.service_accounts]
}

run "refuses_members_for_emails" {
  command = plan

  variables {
    service_accounts = { build = "serviceAccount:hooks-build@accounts.iam.gserviceaccount.com" }
  }

  expect_failures = [var.service_accounts]
}

run "refuses_an_account_for_two" {
  command = plan

  variables {
    service_accounts = { static = "hooks@accounts.iam.gserviceaccount.com", dynamic = "hooks@accounts.iam.gserviceaccount.com" }
  }

  expect_failures = [var.service_accounts]
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
