package main

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// suite is what all scenarios share.
type suite struct {
	socket   string
	folder   string
	examples string
	plugin   *operator
	kept     [][]byte // stored values of all scenarios, as etcd would have them
}

// trial is one run of one scenario. Its context ends with it, and with that every connection and poll loop that
// was started under it.
type trial struct {
	*suite
	ctx      context.Context
	cleanups []func()
}

// result is one line on standard output; why is empty for "ok".
type result struct {
	ID      string `json:"id"`
	Outcome string `json:"outcome"` // ok or failed
	Why     string `json:"why,omitempty"`
	Millis  int64  `json:"millis"`
}

// verdict is what ends a scenario early; it travels as a panic so that checks need no plumbing.
type verdict struct{ outcome, why string }

func (s *suite) try(id string, scenario func(*trial)) (r result) {
	ctx, cancel := context.WithCancel(context.Background())
	t := &trial{suite: s, ctx: ctx}
	start := time.Now()
	r = result{ID: id, Outcome: "ok"}
	guarded := func(step func()) {
		defer func() {
			thrown := recover()
			if v, ok := thrown.(verdict); ok {
				r.Outcome, r.Why = v.outcome, v.why
			} else if thrown != nil {
				r.Outcome, r.Why = "failed", fmt.Sprintf("panic: %v\n%s", thrown, debug.Stack())
			}
		}()
		step()
	}
	guarded(func() { scenario(t) })
	for _, cleanup := range t.cleanups {
		guarded(cleanup)
	}
	cancel()
	r.Millis = time.Since(start).Milliseconds()
	return r
}

func (t *trial) fail(format string, args ...any) {
	panic(verdict{"failed", fmt.Sprintf(format, args...)})
}

func (t *trial) must(err error, doing string) {
	if err != nil {
		t.fail("%s: %v", doing, err)
	}
}

// mustRefuse demands that err came over gRPC with the given code. A refusal of kube-apiserver's own code has none.
func (t *trial) mustRefuse(err error, code codes.Code, what string) {
	if err == nil {
		t.fail("%s: accepted", what)
	}
	if got := status.Code(err); got != code {
		t.fail("%s: refused with %v, not %v: %v", what, got, code, err)
	}
}

// until waits for what a running kube-apiserver or plugin does in its own time.
func (t *trial) until(bound time.Duration, what string, reached func() error) {
	deadline := time.Now().Add(bound)
	for {
		err := reached()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.fail("%s: not within %v: %v", what, bound, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
