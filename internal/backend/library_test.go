package backend

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"path/filepath"
	"runtime"
	"testing"
)

// fakeELF is the header of a shared library for machine with one loadable segment of size bytes.
func fakeELF(t *testing.T, kind elf.Type, machine elf.Machine, size uint64) string {
	t.Helper()
	header := elf.Header64{Type: uint16(kind), Machine: uint16(machine), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1}
	copy(header.Ident[:], elf.ELFMAG+"\x02\x01\x01") // 64 bits, little endian, version 1
	var b bytes.Buffer
	for _, part := range []any{header, elf.Prog64{Type: uint32(elf.PT_LOAD), Filesz: size, Memsz: size}} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func TestCheckLibrary(t *testing.T) {
	if runtime.GOOS != "linux" || machines[runtime.GOARCH] == 0 {
		t.Skip("libraries are checked by their ELF headers, on Linux")
	}
	here, other := machines[runtime.GOARCH], elf.EM_RISCV
	for name, c := range map[string]struct{ content, want string }{
		"empty":             {"", "not a complete shared library"},
		"text":              {"garbage", "not a complete shared library"},
		"magic only":        {elf.ELFMAG, "not a complete shared library"},
		"another processor": {fakeELF(t, elf.ET_DYN, other, 8), "not a shared library for"},
		"a program":         {fakeELF(t, elf.ET_EXEC, here, 8), "not a shared library for"},
		"cut short":         {fakeELF(t, elf.ET_DYN, here, 1<<20), "cut short: segment 0"},
		"enormous":          {fakeELF(t, elf.ET_DYN, here, 1<<62), "cut short: segment 0"},
		"overflowing":       {fakeELF(t, elf.ET_DYN, here, 1<<64-1), "install the plugin again"},
		"no plugin":         {fakeELF(t, elf.ET_DYN, here, 8), "no GetPjrtApi"},
	} {
		path := put(t, c.content, t.TempDir(), "plugin.so")
		err := checkLibrary(path)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		mention(t, err.Error(), path, c.want)
	}
	if err := checkLibrary(t.TempDir()); err == nil {
		t.Error("a folder was accepted")
	}
	if err := checkLibrary(filepath.Join(t.TempDir(), "absent.so")); err == nil {
		t.Error("an absent file was accepted")
	}
	libc, _ := filepath.Glob("/lib/*/libc.so.6")
	if len(libc) > 0 {
		if err := checkLibrary(libc[0]); err == nil {
			t.Error("libc was taken for a plugin")
		} else {
			mention(t, err.Error(), "no GetPjrtApi")
		}
	}
}
