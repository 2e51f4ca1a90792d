package main

// The plugin takes the place of another one, under the same provider name and on the same socket.

import (
	"bytes"
	"time"
)

const peerValues = 10

func migrationV2(t *trial) {
	running, old := t.storeThroughPeer(v2)
	keyID := t.status(t.clientV2(t.socket)).KeyID
	t.until(noticeRotation, "the running kube-apiserver writes under our key id", func() error {
		return t.writesUnder(running, keyID)
	})
	t.mustRead(running, old[0], true, "the kube-apiserver that ran on")

	before := t.foreignDecrypts()
	fresh := t.apiserver(v2)
	for _, stored := range old {
		// Stale: the next update writes it anew even if nothing in it changed.
		t.mustRead(fresh, stored, true, "a new kube-apiserver")
	}
	// One seed of the peer sealed them all, and kube-apiserver holds what it opens.
	if n := t.foreignDecrypts() - before; n != 1 {
		t.fail("the decoder was used %d times for one seed", n)
	}
	t.mustFallSilent(v2, fresh)
}

func migrationV1(t *trial) {
	_, old := t.storeThroughPeer(v1)
	before := t.foreignDecrypts()
	fresh := t.apiserver(v1)
	for _, stored := range old {
		t.mustRead(fresh, stored, false, "a new kube-apiserver")
	}
	// Each value has a DEK of its own.
	if n := t.foreignDecrypts() - before; n != peerValues {
		t.fail("the decoder was used %d times for %d values", n, peerValues)
	}
	t.mustFallSilent(v1, fresh)
}

// storeThroughPeer has a kube-apiserver store values while the peer holds the socket, then puts the plugin in its place.
func (t *trial) storeThroughPeer(p provider) (running *apiserver, stored [][]byte) {
	key := t.ask("peer").Peer
	t.stopPlugin()
	peer := t.startPeer(key)
	running = t.apiserver(p)
	t.until(10*time.Second, "kube-apiserver finds the peer", running.health)
	for range peerValues {
		stored = append(stored, t.store(running, p, secrets))
	}
	for _, value := range stored {
		if !bytes.Contains(value, []byte("vault:v")) {
			t.fail("the peer's ciphertext is not in the stored value")
		}
	}
	peer.stop()
	t.ask("start")
	return running, stored
}

// mustFallSilent rewrites every value through a; then no kube-apiserver needs the decoder any more.
func (t *trial) mustFallSilent(p provider, a *apiserver) {
	var rewritten [][]byte
	for range peerValues {
		value := t.store(a, p, secrets)
		if bytes.Contains(value, []byte("vault:v")) {
			t.fail("a rewritten value is still the peer's")
		}
		rewritten = append(rewritten, value)
	}
	before := t.foreignDecrypts()
	restarted := t.apiserver(p)
	for _, stored := range rewritten {
		t.mustRead(restarted, stored, false, "a kube-apiserver after the migration")
	}
	if n := t.foreignDecrypts() - before; n != 0 {
		t.fail("the decoder was used %d times after the migration", n)
	}
}

func (t *trial) foreignDecrypts() int { return t.ask("foreign-decrypts").Count }
