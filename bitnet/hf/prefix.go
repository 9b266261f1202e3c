package hf

import "fmt"

// Prefix returns the model of the first blocks of m, followed by m's last norm and head: a smaller start for a student. The weights of
// the other blocks are taken out of the Store, which both models share: m itself can no longer be used. It is an error if m
// has fewer blocks.
func (m *Model) Prefix(layers int) (*Model, error) {
	if layers < 1 || layers > m.Config.Layers {
		return nil, fmt.Errorf("layers: %d, but the model has %d", layers, m.Config.Layers)
	}
	c := m.Config
	c.Layers = layers
	if c.SlidingLayers != nil {
		c.SlidingLayers = c.SlidingLayers[:layers]
	}
	if m.Store != nil {
		kept := map[string]bool{}
		for _, t := range c.Tensors() {
			kept[t.Path()] = true
		}
		for _, t := range m.Config.Tensors() {
			if kept[t.Path()] {
				continue
			}
			if err := m.Store.DeleteVariable(t.Path()); err != nil {
				return nil, err
			}
		}
	}
	return m.With(c, m.Store), nil
}
