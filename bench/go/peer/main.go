// A KMS plugin as people write it with grpc-go and the generated types of k8s.io/kms: the limit of that world.
//
//	peer [--kms URL] SOCKET
//
// Without --kms each value is sealed with one AES-256-GCM key that is always there. With it each Encrypt and Decrypt is
// a request to that KMS (../../subjects/transit.mjs), as plugins without a DEK of their own do it.
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"

	"google.golang.org/grpc"
	kmsv1 "k8s.io/kms/apis/v1beta1"
	kmsv2 "k8s.io/kms/apis/v2"
)

// box seals and opens values.
type box interface {
	seal(ctx context.Context, plaintext []byte) ([]byte, error)
	open(ctx context.Context, sealed []byte) ([]byte, error)
}

func main() {
	kms := flag.String("kms", "", "URL of a KMS that each call asks")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: peer [--kms URL] SOCKET")
	}
	var values box = newEnvelope()
	if *kms != "" {
		values = newTransit(*kms)
	}
	listener, err := net.Listen("unix", flag.Arg(0))
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	kmsv1.RegisterKeyManagementServiceServer(server, &v1Service{values: values})
	kmsv2.RegisterKeyManagementServiceServer(server, &v2Service{values: values})
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	go func() {
		<-ended.Done()
		server.Stop()
	}()
	if err := server.Serve(listener); err != nil {
		log.Fatal(err)
	}
}
