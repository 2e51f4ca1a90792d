package main

// The gRPC services alone, through the clients of kube-apiserver.

import (
	"bytes"
	"strings"

	"google.golang.org/grpc/codes"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope"
	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
	"k8s.io/kms/pkg/service"
)

// As long as the seeds that kube-apiserver sends.
var seed = bytes.Repeat([]byte{0xa5}, 32)

func rpcV2(t *trial) {
	kms := t.clientV2(t.socket)
	state := t.status(kms)
	first, second := t.encrypt(kms), t.encrypt(kms)
	for _, response := range []*service.EncryptResponse{first, second} {
		if response.KeyID != state.KeyID {
			t.fail("Encrypt answers key id %s, Status %s", response.KeyID, state.KeyID)
		}
		if n := len(response.Ciphertext); n == 0 || n > 1024 {
			t.fail("the ciphertext has %d bytes", n)
		}
		got, err := t.decrypt(kms, response.Ciphertext, response.KeyID)
		t.must(err, "Decrypt")
		if !bytes.Equal(got, seed) {
			t.fail("Decrypt answers another plaintext")
		}
	}
	if bytes.Equal(first.Ciphertext, second.Ciphertext) {
		t.fail("two Encrypts gave the same ciphertext")
	}
}

func rpcV2KeyID(t *trial) {
	kms := t.clientV2(t.socket)
	made := t.encrypt(kms)
	last := map[bool]string{true: "b", false: "a"}[strings.HasSuffix(made.KeyID, "a")]
	for name, keyID := range map[string]string{
		"no key id":              "",
		"a text that is none":    "1",
		"another of the form":    made.KeyID[:len(made.KeyID)-1] + last,
		"one byte too many":      made.KeyID + "a",
		"a key id of 1025 bytes": strings.Repeat("a", 1025),
	} {
		_, err := t.decrypt(kms, made.Ciphertext, keyID)
		t.mustRefuse(err, codes.InvalidArgument, name)
	}
	_, err := t.decrypt(kms, made.Ciphertext, made.KeyID)
	t.must(err, "Decrypt with the right key id afterwards")
}

func rpcV2Size(t *trial) {
	kms := t.clientV2(t.socket)
	made := t.encrypt(kms)
	_, err := t.decrypt(kms, nil, made.KeyID)
	t.mustRefuse(err, codes.InvalidArgument, "no ciphertext")
	padded := append(bytes.Clone(made.Ciphertext), make([]byte, 1025-len(made.Ciphertext))...)
	_, err = t.decrypt(kms, padded, made.KeyID)
	t.mustRefuse(err, codes.InvalidArgument, "a ciphertext of 1025 bytes")
	_, err = t.decrypt(kms, made.Ciphertext, made.KeyID)
	t.must(err, "Decrypt of a good ciphertext afterwards")
}

func rpcForeign(t *trial) {
	foreign := t.encrypt(t.clientV2(t.ask("foreign").Socket))
	_, err := t.decrypt(t.clientV2(t.socket), foreign.Ciphertext, foreign.KeyID)
	t.mustRefuse(err, codes.FailedPrecondition, "v2 Decrypt")
	_, err = t.clientV1().Decrypt(foreign.Ciphertext)
	t.mustRefuse(err, codes.FailedPrecondition, "v1 Decrypt")
}

func rpcV1(t *trial) {
	kms := t.clientV1()
	ping := []byte("ping")
	ciphertext, err := kms.Encrypt(ping)
	t.must(err, "Encrypt")
	got, err := kms.Decrypt(ciphertext)
	t.must(err, "Decrypt")
	if !bytes.Equal(got, ping) {
		t.fail("Decrypt answers another plaintext")
	}
	_, err = kms.Decrypt(nil)
	t.mustRefuse(err, codes.InvalidArgument, "no ciphertext")
}

func (t *trial) clientV2(socket string) service.Service {
	kms, err := kmsv2.NewGRPCService(t.ctx, "unix://"+socket, v2.name, callTimeout)
	t.must(err, "connect")
	return kms
}

func (t *trial) clientV1() envelope.Service {
	kms, err := envelope.NewGRPCService(t.ctx, t.endpoint(), callTimeout)
	t.must(err, "connect")
	return kms
}

// status asks for the Status and demands that kube-apiserver would call it healthy.
func (t *trial) status(kms service.Service) *service.StatusResponse {
	state, err := kms.Status(t.ctx)
	t.must(err, "Status")
	if state.Version != kmsv2.KMSAPIVersionv2 || state.Healthz != "ok" {
		t.fail("Status says version %q, healthz %q", state.Version, state.Healthz)
	}
	_, err = kmsv2.ValidateKeyID(state.KeyID)
	t.must(err, "validate the key id")
	return state
}

func (t *trial) encrypt(kms service.Service) *service.EncryptResponse {
	response, err := kms.Encrypt(t.ctx, string(uuid.NewUUID()), seed)
	t.must(err, "Encrypt")
	return response
}

func (t *trial) decrypt(kms service.Service, ciphertext []byte, keyID string) ([]byte, error) {
	return kms.Decrypt(t.ctx, string(uuid.NewUUID()), &service.DecryptRequest{Ciphertext: ciphertext, KeyID: keyID})
}
