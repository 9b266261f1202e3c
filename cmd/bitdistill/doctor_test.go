package main

import "testing"

// What is no plugin is refused before anything is fetched.
func TestInstallRefused(t *testing.T) {
	call(t, "doctor", "--install", "tpu").want(t, exitInput, `"tpu"`, "xla:cuda")
	call(t, "doctor", "--install", "").want(t, exitInput, "--install")
}
