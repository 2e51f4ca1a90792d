package main

// Another KEK, or another version of it, under a kube-apiserver that runs on.

import (
	"fmt"
	"time"
)

// kube-apiserver trusts a good Status for 20 s; the probe of this plugin runs every second.
const noticeRotation = 40 * time.Second

func rotationInPlace(t *trial) { mustRotate(t, "rotate") }

func rotationToNewPrimary(t *trial) { mustRotate(t, "move-primary") }

func mustRotate(t *trial, how string) {
	kms := t.clientV2(t.socket)
	oldKeyID := t.status(kms).KeyID
	running, other := t.apiserver(v2), t.apiserver(v2)
	old := t.store(running, v2, secrets)
	t.mustRead(running, old, false, "the writer before the rotation")

	t.ask(how)
	keyID := oldKeyID
	t.until(10*time.Second, "Status names another key id", func() error {
		if keyID = t.status(kms).KeyID; keyID == oldKeyID {
			return fmt.Errorf("it still names %s", oldKeyID)
		}
		return nil
	})
	t.until(noticeRotation, "the running kube-apiserver writes under the new key id", func() error {
		return t.writesUnder(running, keyID)
	})
	t.must(running.health(), "health afterwards")
	t.mustRead(running, old, true, "the writer after the rotation")
	t.mustRead(running, t.store(running, v2, secrets), false, "the writer, of a new value")

	// The plugin holds the DEKs that it has opened. After a restart it needs the old KEK.
	t.ask("restart")
	if _, _, err := other.read(secrets, path, old); err != nil {
		t.fail("read of the old value through a kube-apiserver that has not noticed yet: %v", err)
	}
	fresh := t.apiserver(v2)
	t.mustRead(fresh, old, true, "a new kube-apiserver")
	if n := fresh.calls.decrypts.Load(); n != 1 {
		t.fail("%d Decrypts", n)
	}
	t.mustRead(fresh, t.store(fresh, v2, secrets), false, "a new kube-apiserver, of a new value")
}
