package main

// What kube-apiserver does with a KMS v2 provider, without an outage or a rotation.

import (
	"bytes"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	kmstypes "k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2/v2"
)

func v2RoundTrip(t *trial) {
	a := t.apiserver(v2)
	t.must(a.health(), "health")
	stored := t.store(a, v2, secrets)
	object := t.object(stored)
	if want := t.status(t.clientV2(t.socket)).KeyID; object.KeyID != want {
		t.fail("the stored key id is %s, that of Status %s", object.KeyID, want)
	}
	if object.EncryptedDEKSourceType != kmstypes.EncryptedDEKSourceType_HKDF_SHA256_XNONCE_AES_GCM_SEED {
		t.fail("the type of the DEK source is %v", object.EncryptedDEKSourceType)
	}
	t.mustRead(a, stored, false, "the writer")
}

func v2OtherPath(t *trial) { mustNotMove(t, v2) }

// mustNotMove: kube-apiserver binds each value to its path, so one that is copied over another must not open.
func mustNotMove(t *trial, p provider) {
	a := t.apiserver(p)
	stored := t.store(a, p, secrets)
	if _, _, err := a.read(secrets, otherPath, stored); err == nil {
		t.fail("it opens at %s", otherPath)
	}
	t.mustRead(a, stored, false, "the writer")
}

func v2OneSource(t *trial) {
	const writes = 100
	writer, reader := t.apiserver(v2), t.apiserver(v2)
	sources := map[string]bool{}
	for range writes {
		stored := t.store(writer, v2, secrets)
		sources[string(t.object(stored).EncryptedDEKSource)] = true
		t.mustRead(reader, stored, false, "another kube-apiserver")
	}
	if len(sources) != 1 || writer.calls.encrypts.Load() != 1 {
		t.fail("%d DEK sources by %d Encrypts", len(sources), writer.calls.encrypts.Load())
	}
	if n := reader.calls.decrypts.Load(); n != 1 {
		t.fail("%d Decrypts", n)
	}
}

func v2FlippedBits(t *trial) {
	a := t.apiserver(v2)
	good := t.store(a, v2, secrets)
	object := t.object(good)
	mustNotOpen := func(what string, alter func(*kmstypes.EncryptedObject)) {
		altered := proto.Clone(object).(*kmstypes.EncryptedObject)
		alter(altered)
		_, _, err := a.read(secrets, path, t.stored(altered))
		t.mustRefuse(err, codes.InvalidArgument, what)
	}
	for i := range object.EncryptedDEKSource {
		mustNotOpen(fmt.Sprintf("a flip in byte %d", i), func(o *kmstypes.EncryptedObject) {
			o.EncryptedDEKSource[i] ^= 1 << (i % 8)
		})
	}
	mustNotOpen("without its last byte", func(o *kmstypes.EncryptedObject) {
		o.EncryptedDEKSource = o.EncryptedDEKSource[:len(o.EncryptedDEKSource)-1]
	})
	mustNotOpen("with one byte more", func(o *kmstypes.EncryptedObject) {
		o.EncryptedDEKSource = append(o.EncryptedDEKSource, 0)
	})
	if n := a.calls.decrypts.Load(); n != int64(len(object.EncryptedDEKSource)+2) {
		t.fail("the plugin was asked %d times", n)
	}

	// A new kube-apiserver, since the first one remembers that it was healthy and what the good DEK source holds.
	fresh := t.apiserver(v2)
	t.must(fresh.health(), "health afterwards")
	t.mustRead(fresh, good, false, "another kube-apiserver afterwards")
	if !bytes.Equal(t.stored(object), good) {
		t.fail("the scenario altered the good value")
	}
}

func v2KubeAPIServerRestart(t *trial) {
	stored := t.store(t.apiserver(v2), v2, secrets)
	restarted := t.apiserver(v2)
	t.mustRead(restarted, stored, false, "the restarted kube-apiserver")
	if n := restarted.calls.decrypts.Load(); n != 1 {
		t.fail("%d Decrypts", n)
	}
}

func v2PluginRestart(t *trial) { mustOutlive(t, "restart") }

func v2PluginCrash(t *trial) { mustOutlive(t, "crash") }

func mustOutlive(t *trial, event string) {
	writer, reader := t.apiserver(v2), t.apiserver(v2)
	stored := t.store(writer, v2, secrets)
	t.ask(event)
	t.mustRead(writer, stored, false, "the writer")
	t.mustRead(reader, stored, false, "a kube-apiserver that ran on")
	if n := reader.calls.decrypts.Load(); n != 1 {
		t.fail("%d Decrypts", n)
	}
	fresh := t.apiserver(v2)
	t.must(fresh.health(), "health afterwards")
	t.mustRead(fresh, stored, false, "a new kube-apiserver")
	t.mustRead(reader, t.store(writer, v2, secrets), false, "a kube-apiserver that ran on, of a new value")
}
