package bridge

import "path/filepath"

// Find returns the complete snapshot of a version in a folder that [Snapshots]
// publishes in; without it the error wraps atomicdir.ErrIncomplete.
func Find(root string, version int64) (Snapshot, error) {
	return Open(filepath.Join(root, name(version)))
}
