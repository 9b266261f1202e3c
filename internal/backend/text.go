package backend

import (
	"fmt"
	"io"
	"strings"
)

// WriteText writes the report for people: aligned, one fact a line.
func (r Report) WriteText(w io.Writer) error {
	var b strings.Builder
	r.writeMachine(&b)
	for _, s := range r.Backends {
		b.WriteString("\n")
		s.write(&b)
	}
	b.WriteString("\n")
	line(&b, "auto", r.Auto.Why+r.Auto.Error)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r Report) writeMachine(b *strings.Builder) {
	line(b, "system", r.OS+"/"+r.Arch)
	cpu := fmt.Sprintf("%d cores", r.Cores)
	if r.CPU != "" {
		cpu = r.CPU + ", " + cpu
	}
	line(b, "cpu", cpu)
	if r.MemoryTotal > 0 {
		memory := gib(r.MemoryTotal)
		if r.MemoryAvailable > 0 {
			memory += ", " + gib(r.MemoryAvailable) + " available"
		}
		if r.MemoryLimit > 0 && r.MemoryLimit < r.MemoryTotal {
			memory += ", limited to " + gib(r.MemoryLimit) + " by the control group"
		}
		line(b, "memory", memory)
	}
	line(b, "go", fmt.Sprintf("%s, GOEXPERIMENT=simd: %s, XLA in the build: %s", r.GoVersion, yesNo(r.SIMD), yesNo(r.XLA)))
	for _, m := range r.Modules {
		version := m.Version
		if version == "" {
			version = "not in this program"
		}
		line(b, m.Path[strings.LastIndex(m.Path, "/")+1:], version)
	}
}

func (s Status) write(b *strings.Builder) {
	if s.Available {
		line(b, s.Name, "available: "+s.Description)
	} else {
		line(b, s.Name, "not available")
	}
	detail := func(label, text string) {
		if text != "" {
			line(b, "  "+label, text)
		}
	}
	list := func(label string, lines []string) {
		for _, text := range lines {
			detail(label, text)
			label = ""
		}
	}
	detail("problem", s.Problem)
	list("looked for", s.Searched)
	list("to get it", s.Steps)
	detail("plugin", s.Plugin)
	sha := s.PluginSHA256
	if s.PluginTried {
		sha += " (" + firstWheel(XLACPU) + ", tried)"
	}
	detail("sha256", sha)
	if len(s.Devices) > 0 {
		detail("devices", fmt.Sprintf("%d: %s", len(s.Devices), strings.Join(s.Devices, ", ")))
	}
	if m := s.Matmul; m != nil {
		detail("matmul", fmt.Sprintf("%.1f GFLOP/s (%d x %d %s, %.3g ms, best of %d)",
			m.GFLOPS, m.Size, m.Size, m.DType, m.Seconds*1e3, m.Runs))
	}
}

// line writes a label and a text in two columns.
func line(b *strings.Builder, label, text string) {
	fmt.Fprintf(b, "%-16s%s\n", label, text)
}

func gib(bytes uint64) string { return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30)) }

func yesNo(v bool) string {
	if v {
		return "yes"
	}
	return "no"
}
