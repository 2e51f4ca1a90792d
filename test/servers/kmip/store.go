package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ovh/kmip-go"
	"github.com/ovh/kmip-go/kmipserver"
	"github.com/ovh/kmip-go/payloads"
)

type key struct {
	material   []byte
	state      kmip.State
	attributes []kmip.Attribute
}

type store struct {
	sync.Mutex
	keys      map[string]*key
	appendTag bool
}

func newStore(appendTag bool) *store {
	return &store{keys: map[string]*key{}, appendTag: appendTag}
}

func (s *store) route(executor *kmipserver.BatchExecutor) {
	executor.Route(kmip.OperationQuery, kmipserver.HandleFunc(s.query))
	executor.Route(kmip.OperationCreate, kmipserver.HandleFunc(s.create))
	executor.Route(kmip.OperationActivate, kmipserver.HandleFunc(s.activate))
	executor.Route(kmip.OperationRevoke, kmipserver.HandleFunc(s.revoke))
	executor.Route(kmip.OperationDestroy, kmipserver.HandleFunc(s.destroy))
	executor.Route(kmip.OperationLocate, kmipserver.HandleFunc(s.locate))
	executor.Route(kmip.OperationGetAttributes, kmipserver.HandleFunc(s.getAttributes))
	executor.Route(kmip.OperationEncrypt, kmipserver.HandleFunc(s.encrypt))
	executor.Route(kmip.OperationDecrypt, kmipserver.HandleFunc(s.decrypt))
}

func (s *store) query(_ context.Context, _ *payloads.QueryRequestPayload) (*payloads.QueryResponsePayload, error) {
	return &payloads.QueryResponsePayload{
		Operations: []kmip.Operation{
			kmip.OperationCreate, kmip.OperationLocate, kmip.OperationGetAttributes, kmip.OperationActivate,
			kmip.OperationRevoke, kmip.OperationDestroy, kmip.OperationQuery, kmip.OperationEncrypt, kmip.OperationDecrypt,
		},
		VendorIdentification: "a test on kmip-go",
	}, nil
}

func (s *store) create(_ context.Context, req *payloads.CreateRequestPayload) (*payloads.CreateResponsePayload, error) {
	s.Lock()
	defer s.Unlock()
	bits := int32(256)
	for _, attribute := range req.TemplateAttribute.Attribute {
		if length, ok := attribute.AttributeValue.(int32); ok && attribute.AttributeName == kmip.AttributeNameCryptographicLength {
			bits = length
		}
	}
	made := &key{
		material: random(int(bits) / 8),
		state:    kmip.StatePreActive,
		attributes: append(req.TemplateAttribute.Attribute,
			kmip.Attribute{AttributeName: kmip.AttributeNameObjectType, AttributeValue: req.ObjectType},
			kmip.Attribute{AttributeName: kmip.AttributeNameInitialDate, AttributeValue: time.Now().Truncate(time.Second)}),
	}
	digits := hex.EncodeToString(random(16))
	uid := strings.Join([]string{digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]}, "-")
	s.keys[uid] = made
	return &payloads.CreateResponsePayload{ObjectType: req.ObjectType, UniqueIdentifier: uid}, nil
}

func (s *store) activate(_ context.Context, req *payloads.ActivateRequestPayload) (*payloads.ActivateResponsePayload, error) {
	err := s.move(req.UniqueIdentifier, kmip.StateActive)
	return &payloads.ActivateResponsePayload{UniqueIdentifier: req.UniqueIdentifier}, err
}

func (s *store) revoke(_ context.Context, req *payloads.RevokeRequestPayload) (*payloads.RevokeResponsePayload, error) {
	state := kmip.StateDeactivated
	if req.RevocationReason.RevocationReasonCode == kmip.RevocationReasonCodeKeyCompromise {
		state = kmip.StateCompromised
	}
	err := s.move(req.UniqueIdentifier, state)
	return &payloads.RevokeResponsePayload{UniqueIdentifier: req.UniqueIdentifier}, err
}

func (s *store) destroy(_ context.Context, req *payloads.DestroyRequestPayload) (*payloads.DestroyResponsePayload, error) {
	err := s.move(req.UniqueIdentifier, kmip.StateDestroyed)
	return &payloads.DestroyResponsePayload{UniqueIdentifier: req.UniqueIdentifier}, err
}

func (s *store) move(uid string, state kmip.State) error {
	s.Lock()
	defer s.Unlock()
	found, err := s.find(uid)
	if err == nil {
		found.state = state
	}
	return err
}

func (s *store) locate(_ context.Context, req *payloads.LocateRequestPayload) (*payloads.LocateResponsePayload, error) {
	s.Lock()
	defer s.Unlock()
	answer := &payloads.LocateResponsePayload{}
	for uid, one := range s.keys {
		if one.matches(req.Attribute) {
			answer.UniqueIdentifier = append(answer.UniqueIdentifier, uid)
		}
	}
	return answer, nil
}

func (k *key) matches(wanted []kmip.Attribute) bool {
	all := k.all()
	for _, want := range wanted {
		if !slices.ContainsFunc(all, func(has kmip.Attribute) bool {
			return has.AttributeName == want.AttributeName && has.AttributeValue == want.AttributeValue
		}) {
			return false
		}
	}
	return true
}

func (k *key) all() []kmip.Attribute {
	return append(slices.Clone(k.attributes), kmip.Attribute{AttributeName: kmip.AttributeNameState, AttributeValue: k.state})
}

func (s *store) getAttributes(_ context.Context, req *payloads.GetAttributesRequestPayload) (*payloads.GetAttributesResponsePayload, error) {
	s.Lock()
	defer s.Unlock()
	found, err := s.find(req.UniqueIdentifier)
	if err != nil {
		return nil, err
	}
	answer := &payloads.GetAttributesResponsePayload{UniqueIdentifier: req.UniqueIdentifier}
	for _, attribute := range found.all() {
		if slices.Contains(req.AttributeName, attribute.AttributeName) {
			answer.Attribute = append(answer.Attribute, attribute)
		}
	}
	return answer, nil
}

func (s *store) find(uid string) (*key, error) {
	if found, ok := s.keys[uid]; ok {
		return found, nil
	}
	return nil, kmipserver.ErrItemNotFound
}

func random(length int) []byte {
	bytes := make([]byte, length)
	_, _ = rand.Read(bytes)
	return bytes
}
