# The functions as Cloud Run services, from images. images_test.go checks the plans of
# these runs.

mock_provider "google" {
  override_during = plan
}

mock_provider "archive" {
  override_during = plan
}

override_resource {
  target          = module.static.google_service_account.this[0]
  override_during = plan
  values          = { email = "static" }
}

override_resource {
  target          = module.dynamic.google_service_account.this[0]
  override_during = plan
  values          = { email = "dynamic" }
}

override_resource {
  target          = module.reconcile[0].google_service_account.this[0]
  override_during = plan
  values          = { email = "reconcile" }
}

override_resource {
  target          = google_service_account.timer[0]
  override_during = plan
  values          = { email = "timer" }
}

variables {
  project_id     = "a-project"
  project_number = 123456789012
  images = {
    static    = "us-central1-docker.pkg.dev/a-project/hooks/static@sha256:0000000000000000000000000000000000000000000000000000000000000001"
    dynamic   = "us-central1-docker.pkg.dev/a-project/hooks/dynamic@sha256:0000000000000000000000000000000000000000000000000000000000000002"
    reconcile = "us-central1-docker.pkg.dev/a-project/hooks/reconcile@sha256:0000000000000000000000000000000000000000000000000000000000000003"
  }
}

run "images" {
  command = plan

  assert {
    condition     = output.static_url == "https://geminihook-static-123456789012.us-central1.run.app"
    error_message = "URLs: want those of Cloud Run."
  }
  assert {
    condition     = !anytrue([for service in ["cloudbuild", "cloudfunctions", "artifactregistry", "storage"] : contains(output.services, "${service}.googleapis.com")])
    error_message = "Services: want none that only builds need."
  }
  assert {
    condition     = google_pubsub_topic_iam_member.dead_letter.member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
    error_message = "Project number: want that of the variable."
  }
}

run "images_without_reconcile" {
  command = plan

  variables {
    reconcile = "off"
    images = {
      static  = "us-central1-docker.pkg.dev/a-project/hooks/static@sha256:0000000000000000000000000000000000000000000000000000000000000001"
      dynamic = "us-central1-docker.pkg.dev/a-project/hooks/dynamic@sha256:0000000000000000000000000000000000000000000000000000000000000002"
    }
  }
}

run "refuses_images_without_reconcile_s" {
  command = plan

  variables {
    images = {
      static  = "us-central1-docker.pkg.dev/a-project/hooks/static@sha256:0000000000000000000000000000000000000000000000000000000000000001"
      dynamic = "us-central1-docker.pkg.dev/a-project/hooks/dynamic@sha256:0000000000000000000000000000000000000000000000000000000000000002"
    }
  }

  expect_failures = [var.images]
}

run "refuses_images_without_the_project_s_number" {
  command = plan

  variables {
    project_number = null
  }

  expect_failures = [var.images]
}

run "refuses_images_without_digest" {
  command = plan

  variables {
    images = {
      static    = "us-central1-docker.pkg.dev/a-project/hooks/static:latest"
      dynamic   = "us-central1-docker.pkg.dev/a-project/hooks/dynamic@sha256:0000000000000000000000000000000000000000000000000000000000000002"
      reconcile = "us-central1-docker.pkg.dev/a-project/hooks/reconcile@sha256:0000000000000000000000000000000000000000000000000000000000000003"
    }
  }

  expect_failures = [var.images]
}

run "refuses_images_in_the_repository_that_goes" {
  command = plan

  variables {
    name = "hooks"
  }

  expect_failures = [var.images]
}
