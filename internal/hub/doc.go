// Package hub brings files of models and data sets from the Hugging Face hub
// into the cache of Python's huggingface_hub, so that either finds what the other
// has fetched; and plain files with a known SHA-256 from anywhere.
//
// The cache ($HF_HUB_CACHE, else $HF_HOME/hub, else ~/.cache/huggingface/hub):
//
//	models--org--name/            (datasets--org--name)
//	  refs/main                   the commit that a branch or tag was last seen at
//	  blobs/HASH                  a file, named by its SHA-256 (LFS) or git's SHA-1
//	  blobs/HASH.incomplete       the part of it that has come
//	  snapshots/COMMIT/PATH       a relative link to its blob
//	  trees/COMMIT.json           the files that the commit has
//	.locks/models--org--name/HASH.lock
//
// A blob has its name only when all of it is there, hashes to that name and is
// synced. What was broken off is continued, by whatever process comes next; two
// processes that want one blob take turns on its lock. Where a file system has no
// locks, each has a part of its own, HASH.RANDOM.incomplete, as huggingface_hub
// has it everywhere, and removes it when it fails. Should locks be granted that
// keep nobody out, both write the same bytes to the same places, neither cuts the
// other's file, and each gives the name only to the file that it has checked.
//
// The token is sent to the hub's own origin (scheme, host and port) and not once a
// redirect has left it; what is known of a file (commit, checksum, size) comes
// from there too. No redirect from https to http is followed.
//
// Deliberately absent: uploads, Xet's own protocol (the hub serves the same files
// over HTTP), caches without symbolic links, and deleting: `hf cache` does that.
package hub
