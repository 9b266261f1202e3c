package hub

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// DefaultEndpoint is the hub's address.
const DefaultEndpoint = "https://huggingface.co"

// Options say where files come from and go to. What is empty comes from the
// environment, as for the Python libraries.
type Options struct {
	Endpoint string // URL of the hub; else HF_ENDPOINT, else DefaultEndpoint
	Token    string // else HF_TOKEN, else the file HF_TOKEN_PATH, HF_HOME/token
	Cache    string // folder; else HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub
	Offline  bool   // use the cache alone; also if HF_HUB_OFFLINE is 1, true, yes or on

	// Progress is told how many bytes of all wanted files are there, those
	// found in the cache included. Calls come one after the other; done falls
	// where a file has to be started again.
	Progress func(done, total int64)
	// Log gets a sentence for what takes time or is decided for the user:
	// another attempt, waiting for a process, the cache used in place of the hub.
	Log func(sentence string)

	pace      pace              // of attempts; tests are faster
	transport http.RoundTripper // of requests; nil for the usual one
}

// pace bounds attempts and waiting.
type pace struct {
	attempts int           // in a row without progress
	first    time.Duration // wait before the second attempt, doubled for each that follows
	longest  time.Duration // wait that the server may ask for
	stall    time.Duration // in which minChunk bytes must come
}

var usualPace = pace{attempts: 6, first: time.Second, longest: 5 * time.Minute, stall: time.Minute}

// settings are Options with the environment read.
type settings struct {
	Options
	endpoint    *url.URL
	tokenSource string // how the user calls where the token is from; "" without a token
}

func (o Options) settle() (*settings, error) {
	s := &settings{Options: o}
	s.Endpoint = strings.TrimRight(cmp.Or(o.Endpoint, os.Getenv("HF_ENDPOINT"), DefaultEndpoint), "/")
	u, err := url.Parse(s.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" {
		return nil, errors.New("HF_ENDPOINT: is not an address like " + DefaultEndpoint) // it may hold a password
	}
	s.endpoint = u
	for _, name := range []string{"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"} {
		s.Offline = s.Offline || slices.Contains([]string{"1", "on", "yes", "true"}, strings.ToLower(os.Getenv(name)))
	}
	home, err := homeFolder()
	if err != nil && o.Cache == "" {
		return nil, err
	}
	s.Cache = expand(cmp.Or(o.Cache, os.Getenv("HF_HUB_CACHE"), os.Getenv("HUGGINGFACE_HUB_CACHE"), filepath.Join(home, "hub")))
	if s.Cache, err = filepath.Abs(s.Cache); err != nil {
		return nil, err
	}
	if s.pace == (pace{}) {
		s.pace = usualPace
	}
	if s.Log == nil {
		s.Log = func(string) {}
	}
	if s.Offline {
		return s, nil
	}
	return s, s.findToken(home)
}

// findToken fills Token and tokenSource.
func (s *settings) findToken(home string) error {
	file := expand(cmp.Or(os.Getenv("HF_TOKEN_PATH"), filepath.Join(home, "token")))
	for _, source := range []struct{ name, token string }{
		{"the token given", s.Token},
		{"HF_TOKEN", os.Getenv("HF_TOKEN")},
		{"HUGGING_FACE_HUB_TOKEN", os.Getenv("HUGGING_FACE_HUB_TOKEN")},
		{file, ""},
	} {
		if source.name == file {
			data, err := os.ReadFile(file)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			source.token = string(data)
		}
		token := strings.TrimSpace(source.token)
		if token == "" {
			continue
		}
		if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) || len(token) > 4096 {
			return kindErrorf(ErrDenied, "%s: is not a token: it has characters that no token has", source.name)
		}
		s.Token, s.tokenSource = token, source.name
		return nil
	}
	s.Token = ""
	return nil
}

// homeFolder is HF_HOME.
func homeFolder() (string, error) {
	if dir := os.Getenv("HF_HOME"); dir != "" {
		return expand(dir), nil
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(expand(dir), "huggingface"), nil
	}
	user, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("%w; set HF_HOME to the folder that is to hold the hub's files", err)
	}
	return filepath.Join(user, ".cache", "huggingface"), nil
}

// expand replaces a leading ~.
func expand(dir string) string {
	if rest, ok := strings.CutPrefix(dir, "~"); ok && (rest == "" || os.IsPathSeparator(rest[0])) {
		if user, err := os.UserHomeDir(); err == nil {
			return filepath.Join(user, rest)
		}
	}
	return dir
}
