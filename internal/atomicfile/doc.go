// Package atomicfile writes files and folders that appear whole or not at all,
// whenever the program is killed or the disk fills up.
//
// A file is written under a temporary name beside its target, synced, and
// renamed over it. A folder is filled under a temporary name, every file is
// synced, a manifest with sizes and SHA-256 sums is written last, and the
// folder is renamed. Verify compares a folder with its manifest, so that later
// damage is found too.
//
// # Replacing a folder
//
// No portable call swaps two folders, so Commit renames twice when there is a
// folder to replace:
//
//  1. NAME             -> .NAME.old-RANDOM
//  2. .NAME.tmp-RANDOM -> NAME
//
// Between the two, NAME is missing, but both complete folders lie beside it.
// CleanTemp, called before folders are looked for, puts the newer one in place
// and removes the rest. At every other moment NAME itself is complete, the old
// or the new one.
//
// Leftovers of a killed program are taken for abandoned: one program at a time
// may write to a folder, and CleanTemp must not run beside it. Readers may,
// if they can bear that NAME is missing for a moment; who cannot gives every
// version a name of its own and removes older ones.
//
// What the files hold belongs elsewhere.
package atomicfile
