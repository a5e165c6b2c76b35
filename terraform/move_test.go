package terraform

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// The commands in docs/deploy.md that move an installation into a module move all
// addresses, also those with keys and in modules. After that, a plan is empty. The test
// uses resources that need no provider.
func TestMoveIntoAModule(t *testing.T) {
	planned(t, "defaults") // skips the test if there is no Terraform
	snippet := regexp.MustCompile("(?s)```sh\n( +terraform -chdir=FOLDER state list .*?)```").FindStringSubmatch(read(t, "../docs/deploy.md"))
	if snippet == nil {
		t.Fatal("docs/deploy.md has no command that moves addresses")
	}
	t.Chdir(t.TempDir())
	t.Setenv("TF_CLI_CONFIG_FILE", os.DevNull)
	for file, text := range map[string]string{
		"terraform/main.tf": `module "static" { source = "./function" }` + "\n" +
			`resource "terraform_data" "route" { for_each = toset(["hooks-batch/static", "*"]) }` + "\n",
		"terraform/function/main.tf": `resource "terraform_data" "this" { count = 1 }` + "\n" +
			`data "terraform_remote_state" "source" {
			   backend = "local"
			   config  = { path = "${path.cwd}/another.tfstate" }
			 }` + "\n",
		"another.tfstate": `{"version": 4, "terraform_version": "1.11.0", "serial": 1, "lineage": "another", "outputs": {}, "resources": []}`,
		"FOLDER/main.tf":  `module "geminihook" { source = "../terraform" }` + "\n",
	} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	script := `
terraform -chdir=terraform init && terraform -chdir=terraform apply -refresh=false -auto-approve
cp terraform/terraform.tfstate FOLDER/
terraform -chdir=FOLDER init
` + snippet[1] + `
terraform -chdir=FOLDER plan -detailed-exitcode # 2: the plan is not empty
`
	if out, err := exec.CommandContext(t.Context(), "sh", "-euxc", script).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
