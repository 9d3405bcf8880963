// Package atomicdir publishes folders that are whole or not there: snapshots
// for a server, checkpoints for a resumed run. [ReplaceFile] does the same for
// a single file.
//
// [Create] fills a temporary sibling (.NAME.tmp-…), hashes and syncs every
// file ([CreateHashed] hashes those that their writer has not), writes the marker under the name COMPLETE.pending, renames the folder
// to its place and, last, the marker to COMPLETE. Nothing is written after the
// first rename, so a full disk cannot stop it half-way. Readers trust only the
// marker: a folder without COMPLETE is not there ([ErrIncomplete]), whatever
// it holds.
//
// A crash can leave two things, and the next Create of the same folder
// removes both: a temporary sibling, told from one that is being filled by the
// lock that its writer holds, and a folder whose marker is still pending.
// Where names never come again, [Sweep] removes the temporary ones; [Scratch] has
// folders that are never to be whole, swept by the same sign. A folder that has neither marker is not this package's and is never touched.
package atomicdir

import "errors"

// The marker's names: at the end, and until the folder is in its place.
const (
	MarkerName  = "COMPLETE"
	pendingName = "COMPLETE.pending"
)

// ErrIncomplete means that a folder, if it is there at all, has no marker: it
// was never published, or is being removed.
var ErrIncomplete = errors.New("no " + MarkerName + " marker: the folder was never finished, do not use it")
