package report

import (
	"errors"
	"os"
	"slices"
	"sync"
)

// kept holds the newest few results of reading files, each for as long as its files
// are the same ones: who asks while they are read waits, and is given what that
// found. An error is not kept. It is safe for concurrent use; one call reads at a time.
type kept[V any] struct {
	most int

	mu  sync.Mutex
	all []keptOne[V] // the newest last
}

type keptOne[V any] struct {
	id    string
	files []os.FileInfo
	value V
}

// get is what read finds in some files, which have that id together. The error wraps
// fs.ErrNotExist if one of them is not there.
func (k *kept[V]) get(id string, paths []string, read func() (V, error)) (value V, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	// Looked at before they are read: what is replaced meanwhile is read again.
	var files []os.FileInfo
	for _, path := range paths {
		f, statErr := os.Stat(path)
		files, err = append(files, f), errors.Join(err, statErr)
	}
	if err != nil {
		return value, err
	}
	if i := slices.IndexFunc(k.all, func(one keptOne[V]) bool { return one.id == id }); i >= 0 {
		if slices.EqualFunc(k.all[i].files, files, sameFile) {
			return k.all[i].value, nil
		}
		k.all = slices.Delete(k.all, i, i+1)
	}
	if value, err = read(); err != nil {
		return value, err
	}
	if len(k.all) == k.most {
		k.all = slices.Delete(k.all, 0, 1)
	}
	k.all = append(k.all, keptOne[V]{id, files, value})
	return value, nil
}

// sameFile tells whether nothing was written between two looks at a path.
func sameFile(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
