package jupyter

import (
	"slices"
	"testing"
)

// TestSignature checks a signature that Python's hmac module made:
// hmac.new(b"key", b'{"msg_id":"1"}{}{}{"a":1}', hashlib.sha256).hexdigest()
func TestSignature(t *testing.T) {
	const want = "b5c3f3f2ae4bdd60a1ea8475a37961c8cc8853392dcee28a7c72f2463bd7f890"
	body := [][]byte{[]byte(`{"msg_id":"1"}`), []byte("{}"), []byte("{}"), []byte(`{"a":1}`)}
	frames := append([][]byte{[]byte("topic"), []byte(delimiter), []byte(want)}, body...)
	m, err := Decode(frames, []byte("key"))
	if err != nil || m.Header.ID != "1" || string(m.Content) != `{"a":1}` {
		t.Errorf("%+v %v", m, err)
	}
	for i := 1; i < len(frames); i++ {
		broken := slices.Clone(frames)
		broken[i] = append(slices.Clone(broken[i]), ' ')
		if _, err := Decode(broken, []byte("key")); err == nil {
			t.Errorf("frame %d was changed, and nobody noticed", i)
		}
	}
	for n := range frames {
		if _, err := Decode(frames[:n], []byte("key")); err == nil {
			t.Errorf("%d frames were taken for a message", n)
		}
	}
}

func TestEncodeDecode(t *testing.T) {
	parent := Header{ID: "p", Type: "execute_request"}
	m, err := NewMessage("session", "stream", parent, map[string]string{"name": "stdout"})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"", "secret"} {
		frames, err := m.Encode([]byte(key))
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(append([][]byte{{0, 1}, nil}, frames...), []byte(key))
		if err != nil || back.Header != m.Header || back.Parent != parent || string(back.Content) != `{"name":"stdout"}` {
			t.Errorf("key %q: %+v %v", key, back, err)
		}
	}
}

func TestPortsWithoutUnixSockets(t *testing.T) {
	c, err := newConnection("/" + string(make([]byte, longestSocketPath)))
	ports := []int{c.Shell, c.IOPub, c.Stdin, c.Control, c.Heartbeat}
	slices.Sort(ports)
	if err != nil || c.Transport != "tcp" || c.IP != "127.0.0.1" || ports[0] == 0 || len(slices.Compact(ports)) != 5 {
		t.Errorf("%+v %v", c, err)
	}
}
