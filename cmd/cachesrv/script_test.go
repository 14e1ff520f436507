package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the scripts run this very binary as cachesrv.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"cachesrv": main})
}

// TestScript runs the program under the scripts of testdata/script.
func TestScript(t *testing.T) {
	testscript.Run(t, scripts("script"))
}

// quickExit keeps programs that were built with the race detector from sleeping a second before they end (GORACE's atexit_sleep_ms),
// hundreds of times. Races are reported when they happen.
const quickExit = "atexit_sleep_ms=0"

func scripts(folder string) testscript.Params {
	return testscript.Params{
		Dir:                 "testdata/" + folder,
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			// Links of folders that are only tried out belong with them, not into /run.
			env.Setenv("CACHESRV_LIVE", env.WorkDir+"/live")
			env.Setenv("GORACE", quickExit)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"address":     cmdAddress,
			"await":       cmdAwait,
			"http":        cmdHTTP,
			"status":      cmdStatus,
			"make":        cmdMake,
			"get":         cmdGet,
			"upload":      cmdUpload,
			"origin":      cmdOrigin,
			"certificate": cmdCertificate,
			"expand":      cmdExpand,
		},
	}
}

// cmdAddress finds a free address: address NAME sets $NAME to 127.0.0.1:PORT.
func cmdAddress(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: address NAME")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Check(ln.Close())
	ts.Setenv(args[0], ln.Addr().String())
}

// startTimeout bounds how long a server may take until it answers.
const startTimeout = 30 * time.Second

// cmdAwait waits until something listens: await ADDRESS.
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await ADDRESS")
	}
	network, addr := endpoint(args[0])
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial(network, addr)
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%v", err)
		}
	}
}

func endpoint(s string) (network, addr string) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		return "unix", path
	}
	return "tcp", s
}

// cmdHTTP asks and prints the answer's status, headers and body:
//
//	http [-X METHOD] [-H 'Name: value'] [-u TOKEN] [-d BODY] [-p PROTOCOL] ADDRESS PATH
//
// A body is sent as a form. Protocols are h2c, https and h2; else it is HTTP/1.1. Certificates are not checked, but their
// names printed. Negated, the connection must fail.
func cmdHTTP(ts *testscript.TestScript, neg bool, args []string) {
	method, header := http.MethodGet, http.Header{}
	var body io.Reader
	protocols, scheme := new(http.Protocols), "http"
	protocols.SetHTTP1(true)
	for len(args) > 2 {
		switch args[0] {
		case "-X":
			method = args[1]
		case "-H":
			name, value, _ := strings.Cut(args[1], ": ")
			header.Add(name, value)
		case "-u":
			header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("__token__:"+args[1])))
		case "-d":
			body = strings.NewReader(args[1])
			header.Set("Content-Type", "application/x-www-form-urlencoded")
			if method == http.MethodGet {
				method = http.MethodPost
			}
		case "-p":
			protocols.SetHTTP1(args[1] == "https")
			protocols.SetHTTP2(args[1] == "h2")
			protocols.SetUnencryptedHTTP2(args[1] == "h2c")
			if args[1] != "h2c" {
				scheme = "https"
			}
		default:
			ts.Fatalf("http: unknown option %s", args[0])
		}
		args = args[2:]
	}
	if len(args) != 2 {
		ts.Fatalf("usage: http [-X METHOD] [-H 'Name: value'] [-u TOKEN] [-d BODY] [-p PROTOCOL] ADDRESS PATH")
	}
	network, addr := endpoint(args[0])
	url := "http://localhost" + args[1]
	if network == "tcp" {
		url = scheme + "://" + addr + args[1]
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	ts.Check(err)
	req.Header = header
	if host := header.Get("Host"); host != "" {
		req.Host = host
	}
	client := http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DisableKeepAlives: true, Protocols: protocols, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		}},
	}
	res, err := client.Do(req)
	if neg {
		if err == nil {
			_ = res.Body.Close()
			ts.Fatalf("it answered %s", res.Status)
		}
		return
	}
	ts.Check(err)
	defer res.Body.Close()
	out := ts.Stdout()
	fmt.Fprintf(out, "%d\n", res.StatusCode)
	if res.TLS != nil {
		fmt.Fprintf(out, "%s, certificate of %s\n", res.Proto, res.TLS.PeerCertificates[0].Subject.CommonName)
	} else if res.ProtoMajor > 1 {
		fmt.Fprintln(out, res.Proto)
	}
	ts.Check(res.Header.Write(out))
	fmt.Fprintln(out)
	_, err = io.Copy(out, res.Body)
	ts.Check(err)
}

// cmdExpand puts variables' values in their places in a file: expand FILE.
func cmdExpand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: expand FILE")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(os.Expand(ts.ReadFile(args[0]), ts.Getenv)), 0o600))
}

// cmdStatus runs a command that must end with an exit status: status N PROGRAM [ARGS]. What it printed is there for
// stdout and stderr.
func cmdStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N PROGRAM [ARGS]")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if want := args[0]; fmt.Sprint(got) != want {
		ts.Fatalf("exit status %d, want %s", got, want)
	}
}

// TestRunIsPure: run takes arguments, environment and outputs from its caller alone.
func TestRunIsPure(t *testing.T) {
	t.Setenv("CACHESRV_LOG_FORMAT", "xml") // not what run is given
	var out, errs bytes.Buffer
	env := func(name string) (string, bool) {
		if name == "CACHESRV_LISTEN" {
			return "127.0.0.1:1", true
		}
		return "", false
	}
	if status := run(t.Context(), []string{"conf", "show"}, &out, &errs, env); status != statusOK {
		t.Fatalf("status %d: %s", status, errs.String())
	}
	if !strings.Contains(out.String(), "listen: 127.0.0.1:1 # environment CACHESRV_LISTEN\n") {
		t.Error(out.String())
	}
	if got, ok := os.LookupEnv("CACHESRV_LISTEN"); ok {
		t.Errorf("CACHESRV_LISTEN=%s was set", got)
	}
}
