package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

const module = "github.com/geminihook/geminihook"

// measured are the modules that decide what is measured: the receivers must agree on their versions.
var measured = []string{
	"cloud.google.com/go/firestore",
	"cloud.google.com/go/pubsub/v2",
	"github.com/GoogleCloudPlatform/functions-framework-go",
	"google.golang.org/grpc",
	"google.golang.org/protobuf",
}

// build builds the receivers into dir. They are programs of their own, and not this one again, since what a program
// imports decides how long it takes to start and how much memory it holds.
func build(ctx context.Context, dir string) error {
	const here = module + "/scripts/dev/bench/receivers"
	root, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Module.Dir}}", here+"/"+this).Output()
	if err != nil {
		return fmt.Errorf("run this inside the repository: go list: %w", err)
	}
	if err := goBuild(ctx, "-o", dir+"/", here+"/"+this, here+"/"+floor, here+"/"+empty); err != nil {
		return err
	}
	path := filepath.Join(strings.TrimSpace(string(root)), "scripts", "dev", "bench", "receivers", textbook)
	if err := goBuild(ctx, "-C", path, "-o", filepath.Join(dir, textbook)); err != nil {
		return err
	}
	return sameVersions(dir)
}

func goBuild(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "go", append([]string{"build"}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("go build: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// sameVersions fails where the textbook receiver, a module of its own, was built from other versions than this one.
func sameVersions(dir string) error {
	ours, err := versions(filepath.Join(dir, this))
	if err != nil {
		return err
	}
	theirs, err := versions(filepath.Join(dir, textbook))
	if err != nil {
		return err
	}
	for _, m := range measured {
		if ours[m] != theirs[m] {
			return fmt.Errorf("receivers/%s has %s %s, this module %s: go get it there", textbook, m, theirs[m], ours[m])
		}
	}
	return nil
}

func versions(program string) (map[string]string, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return nil, err
	}
	versions := make(map[string]string)
	for _, dep := range info.Deps {
		versions[dep.Path] = dep.Version
	}
	return versions, nil
}
