package proxy

import (
	"reflect"
	"testing"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
)

// TestPageSettings: what the pages in a folder depend on. If it is another, they are dropped.
func TestPageSettings(t *testing.T) {
	var plain conf.Config
	secured, renewed, slower := plain, plain, plain
	secured.Proxy.TLSCert, secured.Proxy.TLSKey = "a.pem", "a.key"
	renewed.Proxy.TLSCert, renewed.Proxy.TLSKey = "b.pem", "b.key"
	slower.Proxy.OriginTimeout++
	if !reflect.DeepEqual(pageSettings(secured), pageSettings(renewed)) || !reflect.DeepEqual(pageSettings(plain), pageSettings(slower)) {
		t.Error("pages depend on what they don't depend on")
	}
	if reflect.DeepEqual(pageSettings(plain), pageSettings(secured)) {
		t.Error("pages made for http are served by https")
	}
}
