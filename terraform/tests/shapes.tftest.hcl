# The shapes of an installation: as a root and as a module, once and twice, as functions
# and from images, with and without an address of its own and the reconciler. Some are
# planned in the other files. shapes_test.go checks the rules that all plans share.

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

run "root_edge_off" {
  command = plan

  variables {
    urls      = { static = "https://hooks.example.com/static", dynamic = "https://hooks.example.com/dynamic" }
    reconcile = "off"
  }
}

run "root_images_edge" {
  command = plan

  variables {
    project_number = 123456789012
    urls           = { static = "https://hooks.example.com/static", dynamic = "https://hooks.example.com/dynamic" }
    images = {
      static    = "us-central1-docker.pkg.dev/a-project/hooks/static@sha256:0000000000000000000000000000000000000000000000000000000000000001"
      dynamic   = "us-central1-docker.pkg.dev/a-project/hooks/dynamic@sha256:0000000000000000000000000000000000000000000000000000000000000002"
      reconcile = "us-central1-docker.pkg.dev/a-project/hooks/reconcile@sha256:0000000000000000000000000000000000000000000000000000000000000003"
    }
  }
}

run "root_images_edge_off" {
  command = plan

  variables {
    project_number = 123456789012
    urls           = { static = "https://hooks.example.com/static", dynamic = "https://hooks.example.com/dynamic" }
    reconcile      = "off"
    images = {
      static  = "us-central1-docker.pkg.dev/a-project/hooks/static@sha256:0000000000000000000000000000000000000000000000000000000000000001"
      dynamic = "us-central1-docker.pkg.dev/a-project/hooks/dynamic@sha256:0000000000000000000000000000000000000000000000000000000000000002"
    }
  }
}

run "one_edge" {
  command = plan

  module {
    source = "./tests/one"
  }
}

run "two_off" {
  command = plan

  module {
    source = "./tests/two"
  }

  variables {
    reconcile = "off"
  }
}

run "two_edge" {
  command = plan

  module {
    source = "./tests/two"
  }

  variables {
    edge = true
  }
}

run "two_images" {
  command = plan

  module {
    source = "./tests/two"
  }

  variables {
    images = true
  }
}

run "two_images_edge_off" {
  command = plan

  module {
    source = "./tests/two"
  }

  variables {
    images    = true
    edge      = true
    reconcile = "off"
  }
}
