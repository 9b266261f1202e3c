package distill

import (
	"sync"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"
)

// meter is a backend that counts what it compiles and how long its computations run. Graphs and data are those of the
// backend inside.
type meter struct {
	compute.Backend
	mu           sync.Mutex
	compilations int
	running      int       // computations under way; the pure-Go backend has some side by side
	since        time.Time // since when at least one is
	busy         time.Duration
}

// Builder begins a graph, as the backend does.
func (m *meter) Builder(name string) compute.Builder {
	return meteredBuilder{m.Backend.Builder(name), m}
}

// read returns the number of compilations, and the time in which at least one computation ran.
func (m *meter) read() (compilations int, busy time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.compilations, m.busy
}

func (m *meter) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running++; m.running == 1 {
		m.since = time.Now()
	}
}

func (m *meter) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running--; m.running == 0 {
		m.busy += time.Since(m.since)
	}
}

type meteredBuilder struct {
	compute.Builder
	meter *meter
}

func (b meteredBuilder) Compile() (compute.Executable, error) {
	e, err := b.Builder.Compile()
	if err != nil {
		return nil, err
	}
	b.meter.mu.Lock()
	defer b.meter.mu.Unlock()
	b.meter.compilations++
	return meteredExecutable{e, b.meter}, nil
}

type meteredExecutable struct {
	compute.Executable
	meter *meter
}

func (e meteredExecutable) Execute(inputs []compute.Buffer, donate []bool, device compute.DeviceNum) ([]compute.Buffer, error) {
	bare := make([]compute.Buffer, len(inputs))
	for i, in := range inputs {
		bare[i] = in
		if b, ok := in.(meteredBuffer); ok {
			bare[i] = b.Buffer
		}
	}
	e.meter.begin()
	outs, err := e.Executable.Execute(bare, donate, device)
	e.meter.end()
	for i, out := range outs {
		outs[i] = meteredBuffer{out, e.meter}
	}
	return outs, err
}

// meteredBuffer belongs to the meter: a tensor is on one backend alone.
type meteredBuffer struct {
	compute.Buffer
	meter *meter
}

func (b meteredBuffer) Backend() compute.Backend { return b.meter }

func (b meteredBuffer) CopyToDevice(device compute.DeviceNum) (compute.Buffer, error) {
	return b.meter.own(b.Buffer.CopyToDevice(device))
}

func (m *meter) own(b compute.Buffer, err error) (compute.Buffer, error) {
	if err != nil {
		return nil, err
	}
	return meteredBuffer{b, m}, nil
}

// BufferFromFlatData makes a buffer, as the backend does.
func (m *meter) BufferFromFlatData(device compute.DeviceNum, flat any, shape shapes.Shape) (compute.Buffer, error) {
	return m.own(m.Backend.BufferFromFlatData(device, flat, shape))
}

// NewSharedBuffer makes a buffer, as the backend does.
func (m *meter) NewSharedBuffer(device compute.DeviceNum, shape shapes.Shape) (compute.Buffer, any, error) {
	b, flat, err := m.Backend.NewSharedBuffer(device, shape)
	if err != nil {
		return nil, nil, err
	}
	return meteredBuffer{b, m}, flat, nil
}
