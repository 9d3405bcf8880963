package journal

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/justrl/justrl/internal/atomicdir"
)

// parquetRow is a [Rollout] as a row of rollouts/step-NNNNNN.parquet. The columns
// have the names and the meaning of the JSON keys, and these types:
//
//	group, weights_version                   int64
//	sample                                   int32
//	problem_id, text, finish_reason,
//	answer, server                           string (UTF-8)
//	prompt_token_ids, token_ids              list<int32>
//	logprobs                                 list<float32>, null where the server gave none
//	reward, penalty                          double
//	correct                                  boolean
//
// Log-probs lie byte by byte (BYTE_STREAM_SPLIT): four bytes of noise do not
// compress, those of the exponents do.
type parquetRow struct {
	Group          int64     `parquet:"group"`
	ProblemID      string    `parquet:"problem_id,dict"`
	Sample         int32     `parquet:"sample"`
	PromptTokenIDs []int32   `parquet:"prompt_token_ids,list"`
	TokenIDs       []int32   `parquet:"token_ids,list"`
	Logprobs       []float32 `parquet:"logprobs,list,optional" parquet-element:",split"`
	Text           string    `parquet:"text"`
	FinishReason   string    `parquet:"finish_reason,dict"`
	Reward         float64   `parquet:"reward"`
	Penalty        float64   `parquet:"penalty"`
	Correct        bool      `parquet:"correct"`
	Answer         string    `parquet:"answer"`
	WeightsVersion int64     `parquet:"weights_version"`
	Server         string    `parquet:"server,dict"`
}

const (
	// groupTokens is about how many prompt and response tokens a row group has: what
	// is held in memory, compressed, until it is written.
	groupTokens = 1 << 20
	// pageBytes is about the size of a page before it is compressed.
	pageBytes = 256 << 10

	// formatKey says in the footer what the file is.
	formatKey     = "justrl.rollouts"
	formatVersion = "1"
)

// writeParquet writes rollouts to w, a row group of about perGroup tokens at a time:
// what it holds beside them is one row group, compressed.
func writeParquet(w io.Writer, rollouts []Rollout, perGroup int) (err error) {
	defer func() {
		if p := recover(); p != nil { // the library's way of saying that a row does not fit its schema
			err = fmt.Errorf("write parquet: %v", p)
		}
	}()
	out := parquet.NewGenericWriter[parquetRow](w,
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest}),
		parquet.PageBufferSize(pageBytes),
		parquet.DataPageStatistics(false),
		parquet.SkipPageBounds("text"), parquet.SkipPageBounds("answer"),
		parquet.CreatedBy("justrl", formatVersion, ""),
		parquet.KeyValueMetadata(formatKey, formatVersion),
	)
	tokens := 0
	for _, r := range rollouts {
		row := [1]parquetRow{{
			Group: r.Group, ProblemID: utf8Text(r.ProblemID), Sample: int32(r.Sample),
			PromptTokenIDs: r.PromptTokenIDs, TokenIDs: r.TokenIDs, Logprobs: r.Logprobs,
			Text: utf8Text(r.Text), FinishReason: utf8Text(r.FinishReason),
			Reward: r.Reward, Penalty: r.Penalty, Correct: r.Correct, Answer: utf8Text(r.Answer),
			WeightsVersion: r.WeightsVersion, Server: utf8Text(r.Server),
		}}
		if _, err := out.Write(row[:]); err != nil {
			return err
		}
		if tokens += len(r.PromptTokenIDs) + len(r.TokenIDs); tokens >= perGroup {
			if err := out.Flush(); err != nil {
				return err
			}
			tokens = 0
		}
	}
	return out.Close()
}

// utf8Text is s as JSON would keep it: a string of parquet is UTF-8.
func utf8Text(s string) string { return strings.ToValidUTF8(s, "\ufffd") }

// replaceParquet replaces a file by one of the rollouts; missing folders are made.
func replaceParquet(path string, rollouts []Rollout) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return fmt.Errorf("rollouts: %w", err)
	}
	return atomicdir.ReplaceFile(path, func(w io.Writer) error { return writeParquet(w, rollouts, groupTokens) })
}
