package main

// The plugin is not there for a while.

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// kube-apiserver trusts a good Status for 20 s, and the next one fails after its timeout.
	noticeOutage = 40 * time.Second
	// grpc-go dials at growing intervals: after an outage as short as these it comes back within 10 s.
	noticeReturn = 60 * time.Second
)

func pluginLate(t *trial) {
	old := t.store(t.apiserver(v2), v2, secrets)
	t.stopPlugin()
	early := t.apiserver(v2)
	mustSayWhy(t, early.health())
	if _, err := early.write(secrets, path, plaintext); err == nil {
		t.fail("it writes without a plugin")
	}
	t.ask("start")
	t.until(noticeReturn, "health after the plugin's start", early.health)
	t.mustRead(early, old, false, "the early kube-apiserver")
	t.mustRead(early, t.store(early, v2, secrets), false, "the early kube-apiserver, of a new value")
}

func pluginDown(t *trial) {
	a, other := t.apiserver(v2), t.apiserver(v2)
	t.must(a.health(), "health")
	old := t.store(a, v2, secrets)
	t.stopPlugin()
	var found error
	t.until(noticeOutage, "bad health after the plugin's stop", func() error {
		if found = a.health(); found == nil {
			return errors.New("it still says ok")
		}
		return nil
	})
	mustSayWhy(t, found)
	// kube-apiserver goes on with the DEK sources that it knows.
	t.mustRead(a, old, false, "the writer, without a plugin")
	during := t.store(a, v2, secrets)

	t.ask("start")
	t.until(noticeReturn, "health after the plugin's return", a.health)
	for _, stored := range [][]byte{old, during, t.store(a, v2, secrets)} {
		t.mustRead(a, stored, false, "the writer afterwards")
		t.mustRead(other, stored, false, "another kube-apiserver afterwards")
	}
}

// mustSayWhy: the operator reads this text in /healthz, so it names the socket.
func mustSayWhy(t *trial, err error) {
	if err == nil {
		t.fail("health is ok without a plugin")
	}
	code := status.Code(err)
	if code != codes.Unavailable && code != codes.DeadlineExceeded || !strings.Contains(err.Error(), t.socket) {
		t.fail("health does not say why: %v", err)
	}
}

// nothingLost comes last: a control plane that starts anew finds in etcd what was written at any time before.
func nothingLost(t *trial) {
	fresh := t.apiserver(v2, v1)
	t.must(fresh.health(), "health")
	for i, stored := range t.kept {
		got, _, err := fresh.read(secrets, path, stored)
		t.must(err, fmt.Sprintf("read of value %d of %d", i+1, len(t.kept)))
		if got != plaintext {
			t.fail("value %d of %d is another than was written", i+1, len(t.kept))
		}
	}
}
