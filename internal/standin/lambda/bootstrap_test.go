//go:build unix

package lambda

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// modeVariable makes the test binary a function instead of a test, in the mode it names.
const modeVariable = "LAMBDA_TEST_MODE"

func TestMain(m *testing.M) {
	mode, ok := os.LookupEnv(modeVariable)
	if !ok {
		os.Exit(m.Run())
	}
	switch mode {
	case "host":
		host()
	case "go":
		fmt.Println("pids", os.Getpid())
		lambda.Start(goHandler)
	case "raw-hang":
		get("invocation/next")
		forever()
	case "raw":
		raw()
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("pids", os.Getpid())
		raw()
	case "family": // never answers, and has a child that inherits its deafness and its output
		signal.Ignore(syscall.SIGTERM)
		get("invocation/next")
		child := exec.Command("sleep", "60")
		child.Stdout = os.Stdout
		child.Start()
		fmt.Println("pids", os.Getpid(), child.Process.Pid)
		forever()
	case "init-hang":
		fmt.Println("pids", os.Getpid())
		forever()
	case "init-exit":
		os.Exit(7)
	case "init-exit-once":
		marker := filepath.Join(os.Getenv("LAMBDA_TASK_ROOT"), "tried")
		if _, err := os.Stat(marker); err != nil {
			os.WriteFile(marker, nil, 0o600)
			os.Exit(7)
		}
		raw()
	case "init-eat":
		syscall.Mmap(-1, 0, 150<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE|populate)
		raw()
	case "init-error":
		post("init/error", `{"errorType":"Runtime.NoSuchHandler","errorMessage":"no handler"}`, "")
		os.Exit(1)
	}
	os.Exit(99)
}

func forever() { <-time.After(time.Hour) }

// goHandler is a function on AWS's own Go runtime.
func goHandler(ctx context.Context, in struct {
	Do, URL string
	N       int
}) (any, error) {
	switch in.Do {
	case "look":
		fmt.Println("looking")
		return look(ctx), nil
	case "wait":
		resp, err := http.Get(in.URL)
		if err != nil {
			return nil, err
		}
		resp.Body.Close()
		return look(ctx), nil
	case "error":
		return nil, errors.New("refused")
	case "panic":
		panic("oh no")
	case "exit":
		os.Exit(3)
	case "die":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		forever()
	case "hang":
		forever()
	case "big":
		return strings.Repeat("a", in.N), nil
	case "eat": // megabytes that the kernel itself fills
		if _, err := syscall.Mmap(-1, 0, in.N<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE|populate); err != nil {
			return nil, err
		}
	case "print":
		for i := range in.N {
			fmt.Printf("line %d of %s\n", i, strings.Repeat("x", 80))
		}
	}
	return nil, nil
}

func look(ctx context.Context) map[string]any {
	lc, _ := lambdacontext.FromContext(ctx)
	deadline, _ := ctx.Deadline()
	dir, _ := os.Getwd()
	group, _ := syscall.Getpgid(0)
	return map[string]any{
		"env": os.Environ(), "pid": os.Getpid(), "dir": dir, "ownGroup": group == os.Getpid(), "id": lc.AwsRequestID, "arn": lc.InvokedFunctionArn,
		"custom": lc.ClientContext.Custom["k"], "trace": ctx.Value("x-amzn-trace-id"), "leftSeconds": time.Until(deadline).Seconds(),
	}
}

func base() string { return "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/" }

func get(path string) *http.Response {
	resp, err := http.Get(base() + path)
	if err != nil {
		os.Exit(98)
	}
	return resp
}

func post(path, body, errorType string) string {
	r, _ := http.NewRequest("POST", base()+path, strings.NewReader(body))
	if errorType != "" {
		r.Header.Set("Lambda-Runtime-Function-Error-Type", errorType)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		os.Exit(98)
	}
	return told(resp)
}

// told is a Runtime API answer's status and error type.
func told(resp *http.Response) string {
	defer resp.Body.Close()
	var e struct{ ErrorType string }
	json.NewDecoder(resp.Body).Decode(&e)
	return fmt.Sprintf("%d %s", resp.StatusCode, e.ErrorType)
}

// raw is a runtime on net/http alone, which knows how to misbehave.
func raw() {
	for {
		resp := get("invocation/next")
		event, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		at := "invocation/" + resp.Header.Get("Lambda-Runtime-Aws-Request-Id")
		switch {
		case bytes.Contains(event, []byte("header-error")):
			post(at+"/error", "not JSON", "Custom.Broken")
		case bytes.Contains(event, []byte("stream")):
			r, _ := http.NewRequest("POST", base()+at+"/response", strings.NewReader(`"in pieces"`))
			r.Header.Set("Lambda-Runtime-Function-Response-Mode", "streaming")
			if resp, err := http.DefaultClient.Do(r); err == nil {
				fmt.Println("streaming:", told(resp))
			}
		case bytes.Contains(event, []byte("misbehave")):
			answer, _ := json.Marshal(map[string]string{
				"an answer for another event":  post("invocation/8476a536-e9f4-11e8-9739-2dfe598c3fcd/response", `{}`, ""),
				"a next before the answer":     told(get("invocation/next")),
				"an init error after the init": post("init/error", `{}`, ""),
				"a path that is none":          told(get("invocation")),
				"a GET for an answer":          told(get(at + "/response")),
			})
			post(at+"/response", string(answer), "")
			fmt.Println("second answer:", post(at+"/response", `{}`, ""))
		default:
			post(at+"/response", string(event), "")
		}
	}
}
