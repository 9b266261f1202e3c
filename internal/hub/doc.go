// Package hub fetches models and data set files from the Hugging Face hub, or
// from a server that speaks its HTTP API, into the cache that the Python
// libraries use too: HF_HOME/hub, with what either has fetched found by the
// other. Where the hub cannot be reached, the cache serves alone.
//
// The server is not trusted. The list of files states a size and a SHA-256
// (or Git's SHA-1) for each; a file appears in the cache under its name only
// when both are right. Files that are longer than stated and lists without an
// end are refused, and names that lead out of the cache are passed over. The token goes to
// the hub alone, not to where it redirects, and into no error.
//
// Files of a data set are handed out one after the other, the next one fetched
// ahead, and may be removed again once they are read; see Shards.
//
// A link that is cut goes on where it was, also in another process later.
// Refusals for a time (429, 503) are waited for, within bounds.
//
// Errors wrap ErrUnreachable, ErrNotFound or ErrDenied where one of them is
// what happened.
//
// Here belong the hub's API and the layout of its cache. What a model folder
// must hold to be a model, and reading any of its files, does not: see
// bitnet/hf. Nothing is uploaded.
package hub
