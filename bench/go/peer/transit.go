package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// transit asks one key of a Transit engine. Its connections are kept.
type transit struct {
	url    string
	client *http.Client
}

func newTransit(url string) *transit {
	transport := &http.Transport{MaxIdleConnsPerHost: 256, MaxConnsPerHost: 256}
	return &transit{url: url, client: &http.Client{Timeout: 10 * time.Second, Transport: transport}}
}

func (t *transit) seal(ctx context.Context, plaintext []byte) ([]byte, error) {
	var answer struct{ Data struct{ Ciphertext string } }
	// encoding/json writes []byte as base64, as Transit wants it.
	err := t.ask(ctx, "encrypt", map[string][]byte{"plaintext": plaintext}, &answer)
	return []byte(answer.Data.Ciphertext), err
}

func (t *transit) open(ctx context.Context, sealed []byte) ([]byte, error) {
	var answer struct{ Data struct{ Plaintext []byte } }
	err := t.ask(ctx, "decrypt", map[string]string{"ciphertext": string(sealed)}, &answer)
	return answer.Data.Plaintext, err
}

func (t *transit) ask(ctx context.Context, operation string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url+"/v1/transit/"+operation+"/kek", bytes.NewReader(body))
	if err != nil {
		return err
	}
	post.Header.Set("Content-Type", "application/json")
	post.Header.Set("X-Vault-Token", "bench")
	response, err := t.client.Do(post)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: HTTP %d", operation, response.StatusCode)
	}
	// To the end, or the connection is not used again.
	whole, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	return json.Unmarshal(whole, answer)
}
