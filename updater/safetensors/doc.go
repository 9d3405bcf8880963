// Package safetensors reads and writes model weights in the safetensors
// format, one file or shards with an index, without holding a file in memory.
//
// # The format
//
// A file is, in this order: the length N of the header (8 bytes, little
// endian), the header (N bytes of JSON, UTF-8, padded with spaces), and the
// data. The header is one object: tensor name → {"dtype", "shape",
// "data_offsets": [begin, end]}, offsets counted from the start of the data,
// end exclusive; the key "__metadata__" holds an object of strings. Tensors
// are little endian, row-major, without gaps: they cover the data exactly.
// A folder of shards has model.safetensors.index.json beside them:
// {"metadata": {"total_size": bytes}, "weight_map": {tensor: file}}.
//
// Reading checks all of that before a byte of a tensor is used: a file that
// was cut short, a shard of another model, two tensors that share bytes and
// a name that occurs twice are errors that name the file.
//
// # Memory
//
// Files are mapped, not read. A mapping follows its file: when another
// process shortens a file that is open here, touching the missing pages
// raises SIGBUS, which ends the process unless the access is guarded (this
// package guards its own, see [Set.SHA256]). So open only files that nobody
// rewrites in place. [Write] and [WriteFile] never do: they write a temporary
// file and rename it, and whoever has the old file mapped keeps the old bytes.
//
// Deliberately absent: types below one byte (F4, F6), conversion between
// types, and pickled checkpoints.
package safetensors
