// Command ibm-client drives a KMS of IBM through IBM's own Go client and says whether the client is content.
//
// One scenario a run, named by the argument; where the KMS is stands in the environment. It ends with 0, or with 1
// and what was otherwise than IBM documents it.
package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"

	kp "github.com/IBM/keyprotect-go-client"
	"github.com/IBM/keyprotect-go-client/iam"
)

var scenarios = map[string]func(*trial){
	"wrap":     wrapAndUnwrap,
	"generate": generate,
	"metadata": metadata,
	"rotate":   rotate,
	"disable":  disable,
	"enable":   enable,
	"delete":   deleteKey,
	"restore":  restore,
	"standard": standardKey,
	"reader":   reader,
	"absent":   absent,
	"instance": foreignInstance,
	"ring":     otherRing,
	"api-key":  wrongAPIKey,
	"open":     open,
	"seal":     seal,
}

func main() {
	scenario, known := scenarios[os.Args[1]]
	if !known {
		fmt.Fprintln(os.Stderr, "no scenario", os.Args[1])
		os.Exit(64)
	}
	// The client's own retries would hide what is answered first.
	kp.RetryMax = 0
	iam.RetryMax = 0
	client, err := kp.New(kp.ClientConfig{
		BaseURL:    os.Getenv("KP_URL"),
		TokenURL:   os.Getenv("KP_TOKEN_URL"),
		APIKey:     os.Getenv("KP_API_KEY"),
		InstanceID: os.Getenv("KP_INSTANCE"),
		KeyRing:    os.Getenv("KP_RING"),
	}, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	t := &trial{client: client, key: os.Getenv("KP_KEY"), ctx: context.Background()}
	scenario(t)
	if t.failed {
		os.Exit(1)
	}
}

// dek is what is wrapped: the client wants it in base64.
var dek = []byte(base64.StdEncoding.EncodeToString([]byte("a DEK of 32 bytes, as it must be")))

var bound = &[]string{"cluster-1", "etcd"}

func wrapAndUnwrap(t *trial) {
	answer, err := t.client.WrapV2(t.ctx, t.key, dek, bound)
	t.no(err)
	t.same("plaintext in the answer", answer.PlainText, "")
	t.that("a key version", answer.KeyVersion != nil && answer.KeyVersion.ID != "")
	wrapped := []byte(answer.CipherText)
	plain, rewrapped, err := t.client.UnwrapV2(t.ctx, t.key, wrapped, bound)
	t.no(err)
	t.same("plaintext", string(plain), string(dek))
	t.same("ciphertext of a key that was not rotated", string(rewrapped), "")

	for _, aad := range []*[]string{nil, {"cluster-1"}, {"etcd", "cluster-1"}} {
		_, err = t.client.Unwrap(t.ctx, t.key, wrapped, aad)
		t.refused(err, 422, "UNPROCESSABLE_CIPHERTEXT_ERR")
	}
	raw, err := base64.StdEncoding.DecodeString(answer.CipherText)
	t.no(err)
	for at := range raw {
		raw[at] ^= 1
		_, err = t.client.Unwrap(t.ctx, t.key, []byte(base64.StdEncoding.EncodeToString(raw)), bound)
		t.refused(err, 422, "UNPROCESSABLE_CIPHERTEXT_ERR")
		raw[at] ^= 1
	}
	_, err = t.client.Unwrap(t.ctx, t.key, []byte("not base64!"), bound)
	t.refused(err, 400, "INVALID_FIELD_ERR")
}

func generate(t *trial) {
	plain, wrapped, err := t.client.WrapCreateDEK(t.ctx, t.key, nil)
	t.no(err)
	raw, err := base64.StdEncoding.DecodeString(string(plain))
	t.no(err)
	t.same("length", len(raw), 32)
	again, err := t.client.Unwrap(t.ctx, t.key, wrapped, nil)
	t.no(err)
	t.same("plaintext", string(again), string(plain))
}

func metadata(t *trial) {
	key, err := t.client.GetKeyMetadata(t.ctx, t.key)
	t.no(err)
	t.same("id", key.ID, t.key)
	t.same("state", key.State, int(kp.Active))
	t.same("extractable", key.Extractable, false)
	t.same("payload", key.Payload, "")
	t.same("key ring", key.KeyRingID, "clusters")
	t.that("not deleted", key.Deleted != nil && !*key.Deleted)
	t.that("a dual authorization policy", key.DualAuthDelete != nil && !*key.DualAuthDelete.Enabled)
	versions, err := t.client.ListKeyVersions(t.ctx, t.key, nil)
	t.no(err)
	t.same("versions", len(versions.KeyVersion), 1)
	t.that("the version of the list", key.KeyVersion != nil && versions.KeyVersion[0].ID == key.KeyVersion.ID)
	byAlias, err := t.client.GetKeyMetadata(t.ctx, "kubernetes")
	t.no(err)
	t.same("id by alias", byAlias.ID, t.key)
}
