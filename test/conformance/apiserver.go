package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/server/options/encryptionconfig"
	"k8s.io/apiserver/pkg/storage/value"
	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
	"k8s.io/kms/pkg/service"
)

const callTimeout = 3 * time.Second // the default of EncryptionConfiguration

var secrets = schema.GroupResource{Resource: "secrets"}

// provider is one kms entry of an EncryptionConfiguration.
type provider struct{ apiVersion, name string }

var (
	v2 = provider{"v2", "conformance"}
	v1 = provider{"v1", "conformance-v1"}
)

func (p provider) prefix() string {
	return fmt.Sprintf("k8s:enc:kms:%s:%s:", p.apiVersion, p.name)
}

// apiserver is that part of a kube-apiserver that stands between an object and etcd: transformers, health checks and
// background polls, with caches of its own. Two of them are two kube-apiservers; a new one is a restarted one.
type apiserver struct {
	*encryptionconfig.EncryptionConfiguration
	calls *calls
}

// apiserver loads an EncryptionConfiguration for secrets with these providers; the first one writes.
func (t *trial) apiserver(providers ...provider) *apiserver {
	var text strings.Builder
	text.WriteString("apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n")
	text.WriteString("resources:\n  - resources: [secrets]\n    providers:\n")
	for _, p := range providers {
		fmt.Fprintf(&text, "      - kms: { apiVersion: %s, name: %s, endpoint: %q }\n", p.apiVersion, p.name, t.endpoint())
	}
	return t.load(text.String())
}

func (t *trial) endpoint() string { return "unix://" + t.socket }

func (t *trial) load(encryptionConfiguration string) *apiserver {
	file := filepath.Join(t.folder, "encryption-configuration.yaml")
	t.must(os.WriteFile(file, []byte(encryptionConfiguration), 0o600), "write the EncryptionConfiguration")
	counted := &calls{}
	ctx := context.WithValue(t.ctx, callsKey{}, counted)
	loaded, err := encryptionconfig.LoadEncryptionConfig(ctx, file, false, "conformance")
	t.must(err, "LoadEncryptionConfig")
	return &apiserver{loaded, counted}
}

func (a *apiserver) write(resource schema.GroupResource, path, plaintext string) ([]byte, error) {
	return a.Transformers[resource].TransformToStorage(context.Background(), []byte(plaintext), value.DefaultContext(path))
}

func (a *apiserver) read(resource schema.GroupResource, path string, stored []byte) (plaintext string, stale bool, err error) {
	out, stale, err := a.Transformers[resource].TransformFromStorage(context.Background(), stored, value.DefaultContext(path))
	return string(out), stale, err
}

// health is what /healthz answers: a good answer is up to 20 s old, a bad one up to 3 s.
func (a *apiserver) health() error {
	for _, check := range a.HealthChecks {
		request, err := http.NewRequest(http.MethodGet, "/healthz/"+check.Name(), nil)
		if err != nil {
			return err
		}
		if err := check.Check(request); err != nil {
			return fmt.Errorf("%s: %w", check.Name(), err)
		}
	}
	return nil
}

// calls counts what one kube-apiserver asked the v2 plugin.
type calls struct{ encrypts, decrypts atomic.Int64 }

type callsKey struct{}

// countCalls puts a counter between kube-apiserver's envelope code and its gRPC client.
func countCalls() {
	encryptionconfig.EnvelopeKMSv2ServiceFactory = func(ctx context.Context, endpoint, name string, timeout time.Duration) (service.Service, error) {
		inner, err := kmsv2.NewGRPCService(ctx, endpoint, name, timeout)
		return &countingService{inner, ctx.Value(callsKey{}).(*calls)}, err
	}
}

type countingService struct {
	service.Service
	calls *calls
}

func (c *countingService) Encrypt(ctx context.Context, uid string, data []byte) (*service.EncryptResponse, error) {
	c.calls.encrypts.Add(1)
	return c.Service.Encrypt(ctx, uid, data)
}

func (c *countingService) Decrypt(ctx context.Context, uid string, req *service.DecryptRequest) ([]byte, error) {
	c.calls.decrypts.Add(1)
	return c.Service.Decrypt(ctx, uid, req)
}
