package main

import (
	"bytes"
	"fmt"

	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
	kmstypes "k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2/v2"
)

const (
	path      = "/registry/secrets/default/s1"
	otherPath = "/registry/secrets/default/s2"
	plaintext = `{"kind":"Secret","data":{"password":"Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZQ=="}}`
)

// store writes the value and returns its stored form, which must begin as p says and hide the value.
func (t *trial) store(a *apiserver, p provider, resource schema.GroupResource) []byte {
	stored, err := a.write(resource, path, plaintext)
	t.must(err, "write")
	if !bytes.HasPrefix(stored, []byte(p.prefix())) {
		t.fail("the stored value begins with %q, not with %q", stored[:min(len(stored), len(p.prefix()))], p.prefix())
	}
	if bytes.Contains(stored, []byte(plaintext)) {
		t.fail("the stored value holds its plaintext")
	}
	if resource == secrets && (p == v1 || p == v2) {
		t.kept = append(t.kept, stored)
	}
	return stored
}

// mustRead reads the value back through a; who names that kube-apiserver in failures.
func (t *trial) mustRead(a *apiserver, stored []byte, wantStale bool, who string) {
	got, stale, err := a.read(secrets, path, stored)
	t.must(err, "read through "+who)
	if got != plaintext {
		t.fail("read through %s: another value than was written", who)
	}
	if stale != wantStale {
		t.fail("read through %s: stale is %v, not %v", who, stale, wantStale)
	}
}

// object parses what kube-apiserver stores after the prefix of v2, and has kube-apiserver validate it.
func (t *trial) object(stored []byte) *kmstypes.EncryptedObject {
	object := &kmstypes.EncryptedObject{}
	t.must(proto.Unmarshal(bytes.TrimPrefix(stored, []byte(v2.prefix())), object), "parse the stored object")
	t.must(kmsv2.ValidateEncryptedObject(object), "validate the stored object")
	return object
}

// stored is the inverse of object.
func (t *trial) stored(object *kmstypes.EncryptedObject) []byte {
	payload, err := proto.Marshal(object)
	t.must(err, "encode the stored object")
	return append([]byte(v2.prefix()), payload...)
}

// writesUnder answers nil once a writes with the key id.
func (t *trial) writesUnder(a *apiserver, keyID string) error {
	if err := a.health(); err != nil {
		return err
	}
	if got := t.object(t.store(a, v2, secrets)).KeyID; got != keyID {
		return fmt.Errorf("it writes under %s, not %s", got, keyID)
	}
	return nil
}
