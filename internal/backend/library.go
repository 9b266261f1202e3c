package backend

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
)

// libraryExt ends the names of shared libraries on this platform.
var libraryExt = map[bool]string{true: ".dylib", false: ".so"}[runtime.GOOS == "darwin"]

// machines are the processors of ELF files that can be loaded here.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// checkLibrary refuses files that the dynamic loader would refuse with few words or crash on: a library cut short by a
// broken download raises SIGBUS inside dlopen, which no Go program survives. Errors name the file.
func checkLibrary(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err // it names the file
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: not a regular file", path)
	}
	if runtime.GOOS != "linux" {
		return nil // other loaders check for themselves
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	err = guarded("reading its ELF headers", func() error { return checkELF(f, info.Size()) })
	if err != nil {
		return fmt.Errorf("%s (%d bytes): %w; install the plugin again", path, info.Size(), err)
	}
	return nil
}

// checkELF holds the headers of a shared library against this machine and against the size of its file.
func checkELF(f *os.File, size int64) error {
	lib, err := elf.NewFile(f)
	if err != nil {
		return fmt.Errorf("not a complete shared library: %w", err)
	}
	if lib.Type != elf.ET_DYN || lib.Machine != machines[runtime.GOARCH] {
		return fmt.Errorf("not a shared library for %s but %v for %v", runtime.GOARCH, lib.Type, lib.Machine)
	}
	for i, p := range lib.Progs {
		if p.Filesz > uint64(size) || p.Off > uint64(size)-p.Filesz {
			return fmt.Errorf("cut short: segment %d ends at byte %d", i, p.Off+p.Filesz)
		}
	}
	symbols, err := lib.DynamicSymbols()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return fmt.Errorf("unreadable symbols: %w", err)
	}
	exported := func(s elf.Symbol) bool { return s.Name == "GetPjrtApi" && s.Section != elf.SHN_UNDEF }
	if !slices.ContainsFunc(symbols, exported) {
		return errors.New("no PJRT plugin: it exports no GetPjrtApi")
	}
	return nil
}
