// A KMIP server on the library by which OVHcloud KMS speaks KMIP: keys in memory, AES-GCM, states, names.
// The store is ours and small; the protocol is the library's.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"

	"github.com/ovh/kmip-go"
	"github.com/ovh/kmip-go/kmipserver"
)

func main() {
	cert := flag.String("cert", "", "PEM file of the server's certificate")
	key := flag.String("key", "", "PEM file of its key")
	ca := flag.String("ca", "", "PEM file of the authority of the clients")
	versions := flag.String("versions", "1.4,1.3,1.2,1.1,1.0", "versions of KMIP to speak")
	okms := flag.Bool("okms", false, "be as its client of OVHcloud wants it, beyond what we need: see okms.go")
	appendTag := flag.Bool("append-tag", false, "before 1.4, put the tag behind the data")
	flag.Parse()
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))

	listener, err := listen(*cert, *key, *ca)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	executor := kmipserver.NewBatchExecutor()
	spoken := parseVersions(*versions)
	store := newStore(*appendTag)
	store.route(executor)
	if *okms {
		spoken = store.asOkms(executor, spoken)
	}
	executor.SetSupportedProtocolVersions(spoken...)

	// Whoever started us holds the other end: a test that dies takes us along.
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	_ = kmipserver.NewServer(listener, executor).Serve()
}

func listen(certFile, keyFile, caFile string) (net.Listener, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(pem)
	return tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{pair},
		ClientCAs:    clients,
		ClientAuth:   tls.RequireAndVerifyClientCert,
		MinVersion:   tls.VersionTLS13,
	})
}

func parseVersions(list string) []kmip.ProtocolVersion {
	var versions []kmip.ProtocolVersion
	for _, text := range strings.Split(list, ",") {
		var version kmip.ProtocolVersion
		if _, err := fmt.Sscanf(text, "%d.%d", &version.ProtocolVersionMajor, &version.ProtocolVersionMinor); err != nil {
			panic(err)
		}
		versions = append(versions, version)
	}
	return versions
}
