package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"slices"

	"github.com/ovh/kmip-go"
	"github.com/ovh/kmip-go/kmipserver"
	"github.com/ovh/kmip-go/payloads"
)

const ivBytes, tagBytes = 12, 16

func (s *store) encrypt(ctx context.Context, req *payloads.EncryptRequestPayload) (*payloads.EncryptResponsePayload, error) {
	aead, err := s.aead(req.UniqueIdentifier, req.CryptographicParameters, req.IVCounterNonce, kmip.StateActive)
	if err != nil {
		return nil, err
	}
	sealed := aead.Seal(nil, req.IVCounterNonce, req.Data, req.AuthenticatedEncryptionAdditionalData)
	at := len(sealed) - tagBytes
	answer := &payloads.EncryptResponsePayload{UniqueIdentifier: req.UniqueIdentifier, Data: sealed[:at]}
	if s.tagIsAppended(ctx) {
		answer.Data = sealed
	} else {
		// The library leaves the field out where the version has none: the tag is then lost.
		answer.AuthenticatedEncryptionTag = sealed[at:]
	}
	return answer, nil
}

func (s *store) decrypt(ctx context.Context, req *payloads.DecryptRequestPayload) (*payloads.DecryptResponsePayload, error) {
	// The standard lets a deactivated key decrypt what it has encrypted.
	aead, err := s.aead(req.UniqueIdentifier, req.CryptographicParameters, req.IVCounterNonce, kmip.StateActive, kmip.StateDeactivated)
	if err != nil {
		return nil, err
	}
	sealed := slices.Concat(req.Data, req.AuthenticatedEncryptionTag)
	data, err := aead.Open(nil, req.IVCounterNonce, sealed, req.AuthenticatedEncryptionAdditionalData)
	if err != nil {
		return nil, kmipserver.Errorf(kmip.ResultReasonCryptographicFailure, "CRYPTO")
	}
	return &payloads.DecryptResponsePayload{UniqueIdentifier: req.UniqueIdentifier, Data: data}, nil
}

func (s *store) tagIsAppended(ctx context.Context) bool {
	version := kmipserver.GetProtocolVersion(ctx)
	return s.appendTag && version.Major() == 1 && version.Minor() < 4
}

func (s *store) aead(uid string, parameters *kmip.CryptographicParameters, iv []byte, states ...kmip.State) (cipher.AEAD, error) {
	s.Lock()
	defer s.Unlock()
	found, err := s.find(uid)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(states, found.state) {
		return nil, kmipserver.ErrPermissionDenied
	}
	if parameters == nil || parameters.BlockCipherMode != kmip.BlockCipherModeGCM {
		return nil, kmipserver.Errorf(kmip.ResultReasonInvalidField, "cipher mode")
	}
	if len(iv) != ivBytes || parameters.TagLength != tagBytes {
		return nil, kmipserver.Errorf(kmip.ResultReasonInvalidField, "invalid-tag-length")
	}
	block, err := aes.NewCipher(found.material)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
