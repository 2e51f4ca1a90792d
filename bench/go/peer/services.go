package main

import (
	"context"

	kmsv1 "k8s.io/kms/apis/v1beta1"
	kmsv2 "k8s.io/kms/apis/v2"
)

// keyID is as long as the plugin's.
const keyID = "null:aaaaaaaaaaaaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaaaaaaaaaaaa"

type v1Service struct {
	kmsv1.UnimplementedKeyManagementServiceServer
	values box
}

func (s *v1Service) Version(context.Context, *kmsv1.VersionRequest) (*kmsv1.VersionResponse, error) {
	return &kmsv1.VersionResponse{Version: "v1beta1", RuntimeName: "peer", RuntimeVersion: "0.0.1"}, nil
}

func (s *v1Service) Encrypt(ctx context.Context, in *kmsv1.EncryptRequest) (*kmsv1.EncryptResponse, error) {
	sealed, err := s.values.seal(ctx, in.Plain)
	if err != nil {
		return nil, err
	}
	return &kmsv1.EncryptResponse{Cipher: sealed}, nil
}

func (s *v1Service) Decrypt(ctx context.Context, in *kmsv1.DecryptRequest) (*kmsv1.DecryptResponse, error) {
	plain, err := s.values.open(ctx, in.Cipher)
	if err != nil {
		return nil, err
	}
	return &kmsv1.DecryptResponse{Plain: plain}, nil
}

type v2Service struct {
	kmsv2.UnimplementedKeyManagementServiceServer
	values box
}

func (s *v2Service) Status(context.Context, *kmsv2.StatusRequest) (*kmsv2.StatusResponse, error) {
	return &kmsv2.StatusResponse{Version: "v2", Healthz: "ok", KeyId: keyID}, nil
}

func (s *v2Service) Encrypt(ctx context.Context, in *kmsv2.EncryptRequest) (*kmsv2.EncryptResponse, error) {
	sealed, err := s.values.seal(ctx, in.Plaintext)
	if err != nil {
		return nil, err
	}
	return &kmsv2.EncryptResponse{Ciphertext: sealed, KeyId: keyID}, nil
}

func (s *v2Service) Decrypt(ctx context.Context, in *kmsv2.DecryptRequest) (*kmsv2.DecryptResponse, error) {
	plaintext, err := s.values.open(ctx, in.Ciphertext)
	if err != nil {
		return nil, err
	}
	return &kmsv2.DecryptResponse{Plaintext: plaintext}, nil
}
