package jupyter

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Header says what a message is and who sent it.
type Header struct {
	ID       string `json:"msg_id"`
	Type     string `json:"msg_type"`
	Session  string `json:"session"`
	Username string `json:"username"`
	Date     string `json:"date"`
	Version  string `json:"version"`
}

// protocolVersion is the one of the messaging protocol that is spoken here.
const protocolVersion = "5.3"

// Message is one message, without the identities that route it and the signature.
type Message struct {
	Header  Header
	Parent  Header // of the message that this one answers; zero where there is none
	Content json.RawMessage
}

// NewMessage makes a message with an id of its own. Content is anything that becomes a JSON object.
func NewMessage(session, kind string, parent Header, content any) (Message, error) {
	data, err := json.Marshal(content)
	if err != nil {
		return Message{}, fmt.Errorf("message %s: %w", kind, err)
	}
	header := Header{
		ID: NewID(), Type: kind, Session: session, Username: "bitdistill",
		Date: time.Now().UTC().Format("2006-01-02T15:04:05.000000Z"), Version: protocolVersion,
	}
	return Message{header, parent, data}, nil
}

// NewID is a random name of 32 hexadecimal digits.
func NewID() string {
	var id [16]byte
	rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

// delimiter stands between the identities that ZeroMQ routes by and the message.
const delimiter = "<IDS|MSG>"

// Encode gives the frames of a message, signed with HMAC-SHA256 under key; an empty key means no signature.
func (m Message) Encode(key []byte) ([][]byte, error) {
	header, err := json.Marshal(m.Header)
	if err != nil {
		return nil, err
	}
	parent := []byte("{}")
	if m.Parent.ID != "" {
		if parent, err = json.Marshal(m.Parent); err != nil {
			return nil, err
		}
	}
	body := [][]byte{header, parent, []byte("{}"), m.Content}
	return append([][]byte{[]byte(delimiter), sign(key, body)}, body...), nil
}

// Decode reads the frames of a message. Frames before the delimiter are skipped, so are buffers after the content. It refuses a
// message that is not signed with key.
func Decode(frames [][]byte, key []byte) (Message, error) {
	var m Message
	for len(frames) > 0 && string(frames[0]) != delimiter {
		frames = frames[1:]
	}
	if len(frames) < 6 {
		return m, errors.New("message: no delimiter with a signature and four frames behind it")
	}
	body := frames[2:6]
	if !hmac.Equal(frames[1], sign(key, body)) {
		return m, errors.New("message: the signature does not fit the key of the connection file")
	}
	if err := json.Unmarshal(body[0], &m.Header); err != nil {
		return m, fmt.Errorf("message: header: %w", err)
	}
	if err := json.Unmarshal(body[1], &m.Parent); err != nil {
		return m, fmt.Errorf("message %s: parent header: %w", m.Header.Type, err)
	}
	if !json.Valid(body[3]) {
		return m, fmt.Errorf("message %s: the content is not JSON", m.Header.Type)
	}
	m.Content = bytes.Clone(body[3])
	return m, nil
}

func sign(key []byte, body [][]byte) []byte {
	if len(key) == 0 {
		return []byte{}
	}
	mac := hmac.New(sha256.New, key)
	for _, frame := range body {
		mac.Write(frame)
	}
	return []byte(hex.EncodeToString(mac.Sum(nil)))
}
