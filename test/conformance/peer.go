package main

// A plugin that stores as vault-kubernetes-kms does: each call is one of Transit, the ciphertext is Transit's own text,
// the key id the number of the key's version. It shares no code with the plugin under test.

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	kmsv1 "k8s.io/kms/apis/v1beta1"
	kmsv2api "k8s.io/kms/apis/v2"
)

// transit is one key of a Transit engine.
type transit struct {
	URL    string `json:"url"`
	Token  string `json:"token"`
	CAFile string `json:"caFile"`
	Key    string `json:"key"`
	client *http.Client
}

// peer listens on the socket of the plugin under test, which must not run, until the trial ends or stop is called.
type peer struct{ server *grpc.Server }

func (t *trial) startPeer(key *transit) *peer {
	pem, err := os.ReadFile(key.CAFile)
	t.must(err, "read the CA of the peer's KMS")
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	key.client = &http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
	}
	listener, err := net.Listen("unix", t.socket)
	t.must(err, "listen as the peer")
	p := &peer{grpc.NewServer()}
	kmsv1.RegisterKeyManagementServiceServer(p.server, &peerV1{key: key})
	kmsv2api.RegisterKeyManagementServiceServer(p.server, &peerV2{key: key})
	go p.server.Serve(listener)
	t.cleanups = append(t.cleanups, p.stop)
	return p
}

func (p *peer) stop() { p.server.Stop() }

func (k *transit) call(ctx context.Context, operation string, request, response any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	url := strings.Join([]string{k.URL, "v1/transit", operation, k.Key}, "/")
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	post.Header.Set("X-Vault-Token", k.Token)
	answer, err := k.client.Do(post)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("transit %s: HTTP %d", operation, answer.StatusCode)
	}
	return json.NewDecoder(answer.Body).Decode(response)
}

func (k *transit) encrypt(ctx context.Context, plaintext []byte) (string, error) {
	var response struct{ Data struct{ Ciphertext string } }
	// encoding/json writes []byte as base64, as Transit wants it.
	err := k.call(ctx, "encrypt", map[string][]byte{"plaintext": plaintext}, &response)
	return response.Data.Ciphertext, err
}

func (k *transit) decrypt(ctx context.Context, ciphertext []byte) ([]byte, error) {
	var response struct{ Data struct{ Plaintext []byte } }
	err := k.call(ctx, "decrypt", map[string]string{"ciphertext": string(ciphertext)}, &response)
	return response.Data.Plaintext, err
}

type peerV1 struct {
	kmsv1.UnimplementedKeyManagementServiceServer
	key *transit
}

func (p *peerV1) Version(context.Context, *kmsv1.VersionRequest) (*kmsv1.VersionResponse, error) {
	return &kmsv1.VersionResponse{Version: "v1beta1", RuntimeName: "vault", RuntimeVersion: "0.0.1"}, nil
}

func (p *peerV1) Encrypt(ctx context.Context, in *kmsv1.EncryptRequest) (*kmsv1.EncryptResponse, error) {
	ciphertext, err := p.key.encrypt(ctx, in.Plain)
	return &kmsv1.EncryptResponse{Cipher: []byte(ciphertext)}, err
}

func (p *peerV1) Decrypt(ctx context.Context, in *kmsv1.DecryptRequest) (*kmsv1.DecryptResponse, error) {
	plaintext, err := p.key.decrypt(ctx, in.Cipher)
	return &kmsv1.DecryptResponse{Plain: plaintext}, err
}

type peerV2 struct {
	kmsv2api.UnimplementedKeyManagementServiceServer
	key *transit
}

const peerKeyID = "1"

func (p *peerV2) Status(context.Context, *kmsv2api.StatusRequest) (*kmsv2api.StatusResponse, error) {
	return &kmsv2api.StatusResponse{Version: "v2", Healthz: "ok", KeyId: peerKeyID}, nil
}

func (p *peerV2) Encrypt(ctx context.Context, in *kmsv2api.EncryptRequest) (*kmsv2api.EncryptResponse, error) {
	ciphertext, err := p.key.encrypt(ctx, in.Plaintext)
	return &kmsv2api.EncryptResponse{Ciphertext: []byte(ciphertext), KeyId: peerKeyID}, err
}

func (p *peerV2) Decrypt(ctx context.Context, in *kmsv2api.DecryptRequest) (*kmsv2api.DecryptResponse, error) {
	plaintext, err := p.key.decrypt(ctx, in.Ciphertext)
	return &kmsv2api.DecryptResponse{Plaintext: plaintext}, err
}
