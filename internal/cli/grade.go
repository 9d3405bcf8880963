package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/sampler"
)

// pair is a line of a pairs file; Response and GroundTruth are pointers so
// that a missing field is not an empty answer.
type pair struct {
	ID          json.RawMessage `json:"id"`
	Response    *string         `json:"response"`
	GroundTruth *string         `json:"ground_truth"`
}

type verdict struct {
	ID          json.RawMessage `json:"id"`
	Response    string          `json:"response"`
	GroundTruth string          `json:"ground_truth"`
	Correct     bool            `json:"correct"`
	Answer      string          `json:"answer"`
	By          string          `json:"by"`
	Score       float64         `json:"score"`
}

func gradeCommand() *cli.Command {
	return &cli.Command{
		Name:  "grade",
		Usage: "score responses against ground truths, without a server",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "in", Usage: "JSON Lines `FILE` of {id, response, ground_truth}"},
			&cli.StringFlag{Name: "out", Usage: "`FILE` to write: the same plus correct, answer, by, score"},
		}, verifierFlags()...),
		OnUsageError: usageError,
		Action: func(c *cli.Context) error {
			if err := errors.Join(noArguments(c), need(c, "in", "out")); err != nil {
				return err
			}
			r, verifier, done, err := verifierOf(c)
			if err != nil {
				return err
			}
			right, total, err := grade(c.Context, c.String("in"), c.String("out"), r, verifier)
			if err := errors.Join(err, done()); err != nil {
				return fmt.Errorf("grade: %w", err)
			}
			_, err = fmt.Fprintf(c.App.Writer, "%d of %d correct (%.2f %%), written to %s\n", right, total, 100*float64(right)/float64(total), c.String("out"))
			return err
		},
	}
}

func grade(ctx context.Context, in, out string, r config.Reward, verifier sampler.Verifier) (right, total int, err error) {
	err = writeFile(out, func(w io.Writer) error {
		enc := jsonLines(w)
		return eachLine(in, func(_ int, p pair) error {
			if p.Response == nil || p.GroundTruth == nil {
				return fmt.Errorf("needs the fields response and ground_truth")
			}
			ctx, cancel := context.WithTimeout(ctx, time.Duration(r.Timeout))
			defer cancel()
			score, err := verifier.Verify(ctx, *p.Response, *p.GroundTruth)
			if err != nil {
				return err
			}
			total++
			if score.Correct {
				right++
			}
			return enc.Encode(verdict{
				ID: p.ID, Response: *p.Response, GroundTruth: *p.GroundTruth,
				Correct: score.Correct, Answer: score.Answer, By: r.Verifier, Score: score.Reward,
			})
		})
	})
	return right, total, err
}
