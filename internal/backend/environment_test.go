package backend

import (
	"runtime"
	"testing"
)

// What is set is left alone, and once the program was restarted nothing is missing: else it would restart for ever.
func TestFastEnvironment(t *testing.T) {
	env := map[string]string{"GODEBUG": "http2client=0", "PATH": "/bin"}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	missing := FastEnvironment(true, lookup)
	if got := missing["GODEBUG"]; got != "http2client=0,cpu.fma=off" {
		t.Errorf("GODEBUG=%s", got)
	}
	if _, ok := missing["GLIBC_TUNABLES"]; ok != (xlaBuilt && runtime.GOOS == "linux") {
		t.Errorf("malloc settings wanted: %t", ok)
	}
	for name, value := range missing {
		env[name] = value
	}
	if again := FastEnvironment(true, lookup); len(again) > 0 {
		t.Errorf("still missing: %v", again)
	}
	delete(env, "GODEBUG")
	env["GLIBC_TUNABLES"] = "the user's"
	missing = FastEnvironment(true, lookup)
	if got := missing["GODEBUG"]; got != "cpu.fma=off" {
		t.Errorf("GODEBUG=%s", got)
	}
	if _, ok := missing["GLIBC_TUNABLES"]; ok {
		t.Error("a variable of the user's is changed")
	}
}
