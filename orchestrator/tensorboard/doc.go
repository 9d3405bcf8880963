// Package tensorboard writes a run's figures where TensorBoard looks for them: one
// event file in the folder tb of the run directory.
//
// The file is a series of records: the length of the data (8 bytes, little
// endian), the masked CRC-32C of those 8 bytes, the data, and their masked
// CRC-32C. The data are a tensorflow.Event, of which few fields are used here:
//
//	Event:   1 wall_time (double), 2 step (int64), 3 file_version (string),
//	         5 summary (Summary), 7 session_log (SessionLog)
//	Summary: 1 value, repeated: 1 tag (string), 2 simple_value (float), 8 tensor, 9 metadata
//	SessionLog: 1 status (START = 1)
//
// Scalars have the names of steps.jsonl and their step is that of the files: a
// step's own number, counted from 0, and for validation the steps done before
// it, so that what stands at k is of the weights after k steps in either case.
// They are float32, as TensorBoard reads them; steps.jsonl has every bit.
//
// A resumed run goes back to its checkpoint, and what it had done after that
// must not be there twice: [Open] writes the file anew from the records of the run
// directory. It begins with the mark of a new session at step 0, on which a
// TensorBoard that has the older file in memory forgets what it has of it.
//
// Nothing here is synced to disk: the figures are in steps.jsonl.
package tensorboard
