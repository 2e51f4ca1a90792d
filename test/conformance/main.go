// Command conformance drives a running kmsplugin with the code by which kube-apiserver talks to KMS plugins.
//
// run.mjs starts it and owns the plugin. The two speak in JSON lines: standard output carries the result of each
// scenario and what run.mjs is to do with the plugin, standard input the answers.
package main

import (
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"os"

	utilfeature "k8s.io/apiserver/pkg/util/feature"
)

// Which scenarios there are, in their order. run.mjs reads the same file, so it can name them where there is no Go.
//
//go:embed scenarios.json
var scenariosJSON []byte

var scenarios = map[string]func(*trial){
	"rpc-v2":                    rpcV2,
	"rpc-v2-key-id":             rpcV2KeyID,
	"rpc-v2-size":               rpcV2Size,
	"rpc-foreign":               rpcForeign,
	"rpc-v1":                    rpcV1,
	"v2-round-trip":             v2RoundTrip,
	"v2-other-path":             v2OtherPath,
	"v2-one-source":             v2OneSource,
	"v2-flipped-bits":           v2FlippedBits,
	"v2-kube-apiserver-restart": v2KubeAPIServerRestart,
	"v2-plugin-restart":         v2PluginRestart,
	"v2-plugin-crash":           v2PluginCrash,
	"v1-round-trip":             v1RoundTrip,
	"v1-other-path":             v1OtherPath,
	"v1-plugin-restart":         v1PluginRestart,
	"v1-to-v2":                  v1ToV2,
	"example-v2":                exampleV2,
	"example-v1":                exampleV1,
	"rotation-in-place":         rotationInPlace,
	"rotation-to-new-primary":   rotationToNewPrimary,
	"plugin-late":               pluginLate,
	"plugin-down":               pluginDown,
	"migration-v2":              migrationV2,
	"migration-v1":              migrationV1,
	"nothing-lost":              nothingLost,
}

func main() {
	s := &suite{}
	backend := flag.String("backend", "", "name of the backend that the plugin runs on")
	flag.StringVar(&s.socket, "socket", "", "socket of the plugin")
	flag.StringVar(&s.folder, "folder", "", "folder for files of this program")
	flag.StringVar(&s.examples, "examples", "", "folder of the examples of EncryptionConfiguration")
	flag.Parse()
	s.plugin = newOperator(os.Stdin, os.Stdout)

	// Off by default since 1.29; the scenarios of v1 need it.
	if err := utilfeature.DefaultMutableFeatureGate.Set("KMSv1=true"); err != nil {
		exit(err)
	}
	countCalls()

	var listed []struct{ ID, Only string }
	if err := json.Unmarshal(scenariosJSON, &listed); err != nil {
		exit(err)
	}
	if len(listed) != len(scenarios) {
		exit(fmt.Errorf("scenarios.json lists %d scenarios, the program has %d", len(listed), len(scenarios)))
	}
	for _, entry := range listed {
		scenario, ok := scenarios[entry.ID]
		if !ok {
			exit(fmt.Errorf("there is no scenario %q", entry.ID))
		}
		if entry.Only != "" && entry.Only != *backend {
			continue
		}
		s.plugin.tell(s.try(entry.ID, scenario))
	}
}

func exit(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
