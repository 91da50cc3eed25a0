package store

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/latch/latchtest"
)

func TestProbe(t *testing.T) {
	d := wire(t)
	s := over(t, d)
	for operation, err := range s.Probe(t.Context()) {
		if f, ok := errors.AsType[*latch.Fault](err); !ok || f.Code != "ResourceNotFoundException" {
			t.Errorf("%s without a table: %v", operation, err)
		}
	}
	if err := create(t.Context(), config(d), table); err != nil {
		t.Fatal(err)
	}
	all := []string{"DeleteItem", "GetItem", "PutItem", "Query"}
	answers := s.Probe(t.Context())
	if got := slices.Sorted(maps.Keys(answers)); !slices.Equal(got, all) {
		t.Errorf("asked for %v, want what this package calls: %v", got, all)
	}
	for operation, err := range answers {
		if err != nil {
			t.Errorf("%s: %v", operation, err)
		}
	}
	if left, err := s.client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: new(table), Key: key(nobodys, "probe")}); err != nil || left.Item != nil {
		t.Errorf("the probe left %v (%v)", left, err)
	}
	for _, no := range all {
		t.Run("without "+no, func(t *testing.T) {
			deny := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("X-Amz-Target") != "DynamoDB_20120810."+no {
					d.Handler.ServeHTTP(w, r)
					return
				}
				w.WriteHeader(http.StatusBadRequest)
				fmt.Fprint(w, `{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"not authorized"}`)
			})
			for operation, err := range over(t, latchtest.InProcess{Handler: deny}).Probe(t.Context()) {
				f, _ := errors.AsType[*latch.Fault](err)
				if denied := f != nil && f.Code == "AccessDeniedException" && strings.Contains(err.Error(), no+" of table nightlatch"); denied != (operation == no) || !denied && err != nil {
					t.Errorf("%s: %v", operation, err)
				}
			}
		})
	}
}
