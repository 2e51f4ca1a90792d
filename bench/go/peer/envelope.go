package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"log"
)

// envelope seals with one key: nonce, ciphertext, tag.
type envelope struct{ gcm cipher.AEAD }

func newEnvelope() *envelope {
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		log.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		log.Fatal(err)
	}
	return &envelope{gcm}
}

func (e *envelope) seal(_ context.Context, plaintext []byte) ([]byte, error) {
	nonce := make([]byte, e.gcm.NonceSize(), e.gcm.NonceSize()+len(plaintext)+e.gcm.Overhead())
	rand.Read(nonce)
	return e.gcm.Seal(nonce, nonce, plaintext, nil), nil
}

func (e *envelope) open(_ context.Context, sealed []byte) ([]byte, error) {
	if len(sealed) < e.gcm.NonceSize() {
		return nil, errors.New("too short")
	}
	nonce, ciphertext := sealed[:e.gcm.NonceSize()], sealed[e.gcm.NonceSize():]
	return e.gcm.Open(nil, nonce, ciphertext, nil)
}
