package main

// What okms-k8s-encryption-provider asks of a server, and this plugin does not: it fetches the key, and asks in version 1.1
// for the versions, of which it takes the first that is named.

import (
	"context"
	"slices"

	"github.com/ovh/kmip-go"
	"github.com/ovh/kmip-go/kmipserver"
	"github.com/ovh/kmip-go/payloads"
)

// asOkms answers with the versions that the server is to accept.
func (s *store) asOkms(executor *kmipserver.BatchExecutor, named []kmip.ProtocolVersion) []kmip.ProtocolVersion {
	executor.Route(kmip.OperationGet, kmipserver.HandleFunc(s.get))
	executor.Route(kmip.OperationDiscoverVersions, kmipserver.HandleFunc(
		func(context.Context, *payloads.DiscoverVersionsRequestPayload) (*payloads.DiscoverVersionsResponsePayload, error) {
			return &payloads.DiscoverVersionsResponsePayload{ProtocolVersion: named}, nil
		}))
	return append(slices.Clone(named), kmip.V1_1)
}

func (s *store) get(_ context.Context, request *payloads.GetRequestPayload) (*payloads.GetResponsePayload, error) {
	s.Lock()
	defer s.Unlock()
	found, err := s.find(request.UniqueIdentifier)
	if err != nil {
		return nil, err
	}
	material := slices.Clone(found.material)
	block := kmip.KeyBlock{
		KeyFormatType:          kmip.KeyFormatTypeRaw,
		CryptographicAlgorithm: kmip.CryptographicAlgorithmAES,
		CryptographicLength:    int32(len(material) * 8),
		KeyValue:               &kmip.KeyValue{Plain: &kmip.PlainKeyValue{KeyMaterial: kmip.KeyMaterial{Bytes: &material}}},
	}
	return &payloads.GetResponsePayload{
		ObjectType:       kmip.ObjectTypeSymmetricKey,
		UniqueIdentifier: request.UniqueIdentifier,
		Object:           &kmip.SymmetricKey{KeyBlock: block},
	}, nil
}
