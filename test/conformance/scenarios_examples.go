package main

// The examples that people copy, as kube-apiserver's own strict loader takes them.

import (
	"os"
	"path/filepath"
	"regexp"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

var endpointLine = regexp.MustCompile(`(?m)^(\s*endpoint:).*$`)

func exampleV2(t *trial) {
	mustWork(t, "encryption-configuration-v2.yaml", provider{"v2", "kmsplugin"})
}

func exampleV1(t *trial) {
	mustWork(t, "encryption-configuration-v1.yaml", provider{"v1", "kmsplugin"})
}

func mustWork(t *trial, name string, p provider) {
	file := filepath.Join(t.examples, name)
	text, err := os.ReadFile(file)
	t.must(err, "read the example")
	if !endpointLine.Match(text) {
		t.fail("no line of it says endpoint")
	}
	a := t.load(endpointLine.ReplaceAllString(string(text), "$1 "+t.endpoint()))
	t.must(a.health(), "health")
	t.mustRead(a, t.store(a, p, secrets), false, "the writer")
	t.store(a, p, schema.GroupResource{Resource: "configmaps"})
}
