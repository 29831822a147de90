// A Go service on the held socket (UPDATE_LISTEN), by github.com/coreos/go-systemd.
package main

import (
	"context"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

func listen() (net.Listener, error) {
	held, err := activation.Listeners()
	if err != nil {
		return nil, err
	}
	if len(held) > 0 {
		return held[0], nil
	}
	return net.Listen("tcp", ":8080")
}

func main() {
	version, err := os.ReadFile("VERSION")
	if err != nil {
		log.Fatal(err)
	}
	listener, err := listen()
	if err != nil {
		log.Fatal(err)
	}
	var draining atomic.Bool
	// Connections that were accepted and have not asked yet: what they ask, Shutdown would drop.
	var silent sync.Map
	track := func(connection net.Conn, state http.ConnState) {
		if state == http.StateNew {
			silent.Store(connection, nil)
		} else {
			silent.Delete(connection)
		}
	}
	server := &http.Server{ConnState: track, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if draining.Load() {
			w.Header().Set("Connection", "close")
		}
		w.Write(version)
	})}
	go func() {
		if err := server.Serve(listener); !draining.Load() {
			log.Fatal(err)
		}
	}()
	daemon.SdNotify(false, daemon.SdNotifyReady)

	terminated, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	<-terminated.Done()
	// Our copy of the listener only: what comes from now on waits for the next version. What was
	// accepted is answered, and told not to come back here.
	draining.Store(true)
	listener.Close()
	time.Sleep(200 * time.Millisecond)
	for until := time.Now().Add(2 * time.Second); !isEmpty(&silent) && time.Now().Before(until); {
		time.Sleep(5 * time.Millisecond)
	}
	server.Shutdown(context.Background())
}

func isEmpty(connections *sync.Map) bool {
	empty := true
	connections.Range(func(_, _ any) bool {
		empty = false
		return false
	})
	return empty
}
