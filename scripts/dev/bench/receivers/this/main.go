// Command this is the receiver of this project as it is deployed: the static function
// under the buildpack's main.
package main

import (
	"log"
	"os"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"

	_ "github.com/geminihook/geminihook/functions/static"
)

func main() { log.Fatal(funcframework.StartHostPort("127.0.0.1", os.Getenv("PORT"))) }
