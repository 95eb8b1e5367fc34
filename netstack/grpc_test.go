package netstack_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// TestGRPC serves the health service of gRPC, calls and a stream, to a gRPC client on the other stack.
func TestGRPC(t *testing.T) {
	client, server := pair(t)
	srv, h := grpc.NewServer(), health.NewServer()
	grpc_health_v1.RegisterHealthServer(srv, h)
	l := must[net.Listener](t)(server.Listen("tcp", ":50051"))
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	conn, err := grpc.NewClient("passthrough:10.0.0.2:50051", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return client.DialContext(ctx, "tcp", addr) }))
	if err != nil {
		t.Fatal(err)
	}
	c := grpc_health_v1.NewHealthClient(conn)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	for i := range 50 {
		name := fmt.Sprint("service ", i)
		h.SetServingStatus(name, grpc_health_v1.HealthCheckResponse_SERVING)
		wg.Go(func() {
			if r, err := c.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: name}); err != nil || r.Status != grpc_health_v1.HealthCheckResponse_SERVING {
				t.Errorf("%s: %v, %v", name, r, err)
			}
		})
	}
	wg.Wait()
	stream, err := c.Watch(ctx, &grpc_health_v1.HealthCheckRequest{Service: "service 1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []grpc_health_v1.HealthCheckResponse_ServingStatus{grpc_health_v1.HealthCheckResponse_SERVING, grpc_health_v1.HealthCheckResponse_NOT_SERVING} {
		if r, err := stream.Recv(); err != nil || r.Status != want {
			t.Fatalf("%v, %v; want %v", r, err, want)
		}
		h.SetServingStatus("service 1", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	}
	cancel()
	conn.Close()
	srv.Stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}
