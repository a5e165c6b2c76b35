package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// read returns the contents of a file in the repository.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../../" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The tables in README.md and docs/cost.md and the picture are made from
// docs/worth.json.
func TestPages(t *testing.T) {
	var r Report
	if err := json.Unmarshal([]byte(read(t, "docs/worth.json")), &r); err != nil {
		t.Fatal(err)
	}
	tables := r.Tables()
	if !strings.Contains(read(t, "README.md"), tables[0]) {
		t.Errorf("README.md does not have this table of docs/worth.json:\n%s", tables[0])
	}
	page := read(t, "docs/cost.md")
	for _, table := range tables[1:] {
		if !strings.Contains(page, table) {
			t.Errorf("docs/cost.md does not have this table of docs/worth.json:\n%s", table)
		}
	}
	if r.Picture() != read(t, "docs/worth.svg") {
		t.Error("docs/worth.svg is not the picture of docs/worth.json")
	}
}

// The prices equal those in README.md or docs/cost.md.
func TestPrices(t *testing.T) {
	pages := read(t, "README.md") + read(t, "docs/cost.md")
	for _, p := range []price{
		pricePerRequest, pricePerVCPUSecond, pricePerGiBSecond, pricePerWrite, pricePerDelete,
		pricePerTiB, pricePerSecretRead, pricePerVersion, pricePerLogs, pricePerRead, pricePerSchedule, pricePerMachine,
	} {
		if !strings.Contains(pages, " "+string(p)) {
			t.Errorf("neither README.md nor docs/cost.md has the price %q", p)
		}
		if p.dollars() <= 0 {
			t.Errorf("%q is %v dollars", p, p.dollars())
		}
	}
}
