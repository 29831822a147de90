// A Go server that borrows its listener (sd_listen_fds(3)), or binds PORT itself where it is given none. Answers with the
// VERSION beside it, after ?ms=. START_MS is the time until it listens. READY=1 goes to NOTIFY_SOCKET where there is one.
// FAULT beside it, if it is there, says what is wrong with this version.
package main

import (
	"context"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// So long kept connections are answered with "close" before idle ones are closed: a request may be on its way.
const farewell = 200 * time.Millisecond

// So long connections that were accepted may take to send their request.
const patience = 2 * time.Second

// Connections that were accepted, and have not sent a request yet. Shutdown reads what they send, and answers nothing.
type newcomers struct {
	sync.Mutex
	connections map[net.Conn]bool
}

func (n *newcomers) track(connection net.Conn, state http.ConnState) {
	n.Lock()
	defer n.Unlock()
	if state == http.StateNew {
		n.connections[connection] = true
	} else {
		delete(n.connections, connection)
	}
}

func (n *newcomers) count() int {
	n.Lock()
	defer n.Unlock()
	return len(n.connections)
}

func listen() (net.Listener, error) {
	if !isDaemon() && os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	}
	file := os.NewFile(3, "listener")
	// FileListener has a copy of its own.
	defer file.Close()
	return net.FileListener(file)
}

// This program once more, in a session of its own, with the listener.
func startDaemon(executable string) {
	daemon := exec.Command(executable, "daemon")
	daemon.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	daemon.ExtraFiles = []*os.File{os.NewFile(3, "listener")}
	daemon.Stdout, daemon.Stderr = os.Stdout, os.Stderr
	if err := daemon.Start(); err != nil {
		log.Fatal(err)
	}
}

func isDaemon() bool { return len(os.Args) > 1 && os.Args[1] == "daemon" }

func tellReady() {
	if address := os.Getenv("NOTIFY_SOCKET"); address != "" && !isDaemon() {
		connection, err := net.Dial("unixgram", address)
		if err != nil {
			log.Print(err)
			return
		}
		defer connection.Close()
		connection.Write([]byte("READY=1"))
	}
}

func main() {
	executable, err := os.Executable()
	if err != nil {
		log.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(executable), "VERSION"))
	if err != nil {
		log.Fatal(err)
	}
	version := []byte(strings.TrimSpace(string(text)))
	fault := ""
	if text, err := os.ReadFile(filepath.Join(filepath.Dir(executable), "FAULT")); err == nil {
		fault = strings.TrimSpace(string(text))
	}
	if isDaemon() && fault != "leaves a daemon" {
		time.Sleep(time.Hour)
	}
	switch fault {
	case "has a daemon":
		startDaemon(executable)
	case "leaves a daemon":
		if !isDaemon() {
			startDaemon(executable)
			time.Sleep(300 * time.Millisecond)
			os.Exit(0)
		}
	case "exits at once":
		os.Exit(3)
	case "exits after a second":
		time.Sleep(time.Second)
		os.Exit(3)
	case "is never ready":
		time.Sleep(time.Hour)
	case "binds itself":
		os.Unsetenv("LISTEN_PID")
	}
	startMs, _ := strconv.Atoi(os.Getenv("START_MS"))
	time.Sleep(time.Duration(startMs) * time.Millisecond)

	var draining atomic.Bool
	fresh := newcomers{connections: map[net.Conn]bool{}}
	server := &http.Server{ConnState: fresh.track, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" && fault == "is unhealthy" {
			w.WriteHeader(500)
			return
		}
		ms, _ := strconv.Atoi(r.URL.Query().Get("ms"))
		time.Sleep(time.Duration(ms) * time.Millisecond)
		if draining.Load() {
			w.Header().Set("Connection", "close")
		}
		w.Write(version)
	})}
	listener, err := listen()
	if err != nil {
		log.Fatal(err)
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	served := make(chan error)
	go func() { served <- server.Serve(listener) }()
	if fault != "shuts the socket down, and is not ready" {
		tellReady()
	}
	if fault == "is ready, and then crashes" {
		time.Sleep(300 * time.Millisecond)
		os.Exit(3)
	}
	select {
	case err := <-served:
		log.Fatal(err)
	case <-term:
	}
	if fault == "ignores TERM" {
		select {}
	}
	// Our copy only: what comes from now on waits for the next version. Shutdown would cut what was just accepted.
	draining.Store(true)
	if fault == "does not let go of the socket" {
		select {}
	}
	if strings.HasPrefix(fault, "shuts the socket down") {
		// shutdown(2), as servers do that take the listener for theirs alone (cpp-httplib): it ends for whoever has it.
		raw, _ := listener.(*net.TCPListener).SyscallConn()
		raw.Control(func(fd uintptr) { syscall.Shutdown(int(fd), syscall.SHUT_RDWR) })
	}
	listener.Close()
	<-served
	time.Sleep(farewell)
	for until := time.Now().Add(patience); fresh.count() > 0 && time.Now().Before(until); {
		time.Sleep(5 * time.Millisecond)
	}
	server.Shutdown(context.Background())
}
