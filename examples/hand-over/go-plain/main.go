// A Go service on the held socket (UPDATE_LISTEN), without a dependency.
package main

import (
	"context"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func listen() (net.Listener, error) {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return net.Listen("tcp", ":8080")
	}
	// The listener has a copy of the descriptor.
	file := os.NewFile(3, "held")
	defer file.Close()
	return net.FileListener(file)
}

// ready says READY=1 to who started the app.
func ready() {
	if path := os.Getenv("NOTIFY_SOCKET"); path != "" {
		if socket, err := net.Dial("unixgram", path); err == nil {
			socket.Write([]byte("READY=1"))
			socket.Close()
		}
	}
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
	ready()

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
