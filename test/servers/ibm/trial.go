// What a scenario asserts with.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	kp "github.com/IBM/keyprotect-go-client"
	"github.com/IBM/keyprotect-go-client/iam"
)

type trial struct {
	client *kp.Client
	key    string
	ctx    context.Context
	failed bool
}

func (t *trial) fail(format string, values ...any) {
	t.failed = true
	_, file, line, _ := runtime.Caller(2)
	place := fmt.Sprintf("%s:%d: ", file[strings.LastIndex(file, "/")+1:], line)
	fmt.Fprintf(os.Stderr, place+format+"\n", values...)
}

// no ends the run: what follows would make no sense.
func (t *trial) no(err error) {
	if err != nil {
		t.fail("%v", err)
		os.Exit(1)
	}
}

func (t *trial) that(what string, holds bool) {
	if !holds {
		t.fail("not so: %s", what)
	}
}

func (t *trial) same(what string, found, wanted any) {
	if found != wanted {
		t.fail("%s: found %v, wanted %v", what, found, wanted)
	}
}

func (t *trial) state(wanted kp.KeyState) {
	key, err := t.client.GetKeyMetadata(t.ctx, t.key)
	if err != nil || key.State != int(wanted) {
		t.fail("state: found %v, wanted %v (%v)", key, wanted, err)
	}
}

// refused: an error of the KMS with this reason; an empty one: with words and no reason.
func (t *trial) refused(err error, status int, reason string) {
	var refusal *kp.Error
	if !errors.As(err, &refusal) {
		t.fail("found %v, wanted status %d", err, status)
		return
	}
	found := ""
	if len(refusal.Reasons) > 0 {
		found = strings.TrimSpace(refusal.Reasons[0].Code)
	}
	if refusal.StatusCode != status || found != reason || refusal.Message == "" || refusal.Message[0] == '{' {
		t.fail("found %d %q (%s), wanted %d %q", refusal.StatusCode, found, refusal.Message, status, reason)
	}
}

func (t *trial) refusedByIAM(err error, status int, code string) {
	var refusal iam.Error
	if !errors.As(err, &refusal) {
		t.fail("found %v, wanted an error of IAM", err)
		return
	}
	if refusal.HTTPResponse.StatusCode != status || refusal.ErrorCode != code || refusal.Context == nil || refusal.Context.RequestID == "" {
		t.fail("found %v, wanted %d %s and a request id", refusal, status, code)
	}
}

func (t *trial) say(text string) {
	fmt.Println(text)
}
