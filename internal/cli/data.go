package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/justrl/justrl/orchestrator"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/dataset"
	"github.com/justrl/justrl/sampler/tokenizer"
)

// data is the training problems of a run.
type data struct {
	source dataset.Source
	prompt func(sampler.Problem) ([]int32, error)
}

func (d *data) Close() error { return d.source.Close() }

func openData(ctx context.Context, cfg config.Config, tok *tokenizer.Tokenizer) (*data, error) {
	prompt, err := trainingPrompt(tok, cfg.Problems)
	if err != nil {
		return nil, err
	}
	source, err := dataset.OpenColumns(ctx, cfg.Data, columns(cfg.Problems))
	if err != nil {
		return nil, err
	}
	return &data{source, prompt}, nil
}

// stream continues at a cursor that an earlier process wrote; nil is the start.
func (d *data) stream(cfg config.Config, cursor []byte) (*dataset.Stream, error) {
	var from dataset.Cursor
	if cursor != nil {
		if err := json.Unmarshal(cursor, &from); err != nil {
			return nil, fmt.Errorf("data cursor of the checkpoint: %w", err)
		}
	}
	return dataset.NewStream(d.source, dataset.Options{
		Seed: cfg.Seed, Shuffle: cfg.Sampling.Shuffle, MaxPromptTokens: cfg.Sampling.MaxPromptTokens, Prompt: d.prompt,
	}, from)
}

func trainingPrompt(tok *tokenizer.Tokenizer, as config.Problems) (func(sampler.Problem) ([]int32, error), error) {
	message, err := dataset.ParseMessage(as.Instruction)
	return func(p sampler.Problem) ([]int32, error) {
		text, err := message.Of(p)
		if err != nil {
			return nil, err
		}
		return tok.Prompt(text)
	}, prefixed("instruction: ", err)
}

// columns says in the dataset's words where the configuration has what.
func columns(p config.Problems) dataset.Columns {
	return dataset.Columns{Question: p.Question, Answer: p.Answer, ID: p.ID, Choices: p.Choices, AnswerIs: p.AnswerIs}
}

// validate reports every fault of a configuration at once.
func validate(cfg config.Config) error {
	return errors.Join(cfg.Validate(), checkProblems("problems", cfg.Problems), checkProblems("validation.problems", cfg.Validation.Problems))
}

// checkProblems says what is wrong with a section of the configuration.
func checkProblems(section string, p config.Problems) error {
	_, err := dataset.ParseMessage(p.Instruction)
	return errors.Join(prefixed(section+".", columns(p).Validate()), prefixed(section+".instruction: ", err))
}

func prefixed(prefix string, err error) error {
	if err == nil {
		return nil
	}
	return errors.New(prefix + strings.ReplaceAll(err.Error(), "\n", "\n"+prefix))
}

// heldOutProblems says how files of held-out problems are read.
func heldOutProblems(cfg config.Config) config.Problems {
	if !cfg.Validation.Problems.IsZero() {
		return cfg.Validation.Problems
	}
	return cfg.Problems
}

// heldOut renders the validation sets in the form of the training prompts.
func heldOut(ctx context.Context, cfg config.Config, tok *tokenizer.Tokenizer) ([]orchestrator.HeldOut, error) {
	as := heldOutProblems(cfg)
	prompt, err := trainingPrompt(tok, as)
	if err != nil {
		return nil, err
	}
	var sets []orchestrator.HeldOut
	for _, path := range cfg.Validation.Data {
		rows, err := allRows(ctx, path, as, prompt)
		if err != nil {
			return nil, err
		}
		sets = append(sets, orchestrator.HeldOut{Name: setName(path, sets), Rows: rows})
	}
	return sets, nil
}

func allRows(ctx context.Context, path string, as config.Problems, prompt func(sampler.Problem) ([]int32, error)) (rows []sampler.Row, err error) {
	source, err := dataset.OpenColumns(ctx, path, columns(as))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	for i := range source.Len() {
		p, err := source.Problem(ctx, i)
		if err != nil {
			return nil, err
		}
		ids, err := prompt(p)
		if err != nil {
			return nil, fmt.Errorf("%s: problem %s: %w", path, p.ID, err)
		}
		rows = append(rows, sampler.Row{Ordinal: i, Problem: p, PromptTokenIDs: ids})
	}
	return rows, nil
}

// setName is a held-out set's name in metrics and in eval/…/NAME.jsonl: its
// file's, without folder and ending, as far as that is safe as a file's name,
// and numbered where another set has it already.
func setName(path string, others []orchestrator.HeldOut) string {
	base := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	safe := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-_.+=@", r) {
			return r
		}
		return '_'
	}, base)
	for len(safe) > maxSetName {
		_, last := utf8.DecodeLastRuneInString(safe)
		safe = safe[:len(safe)-last]
	}
	if safe == "" || safe[0] == '.' { // hidden, or ..
		safe = "set" + safe
	}
	name := safe
	for n := 2; slices.ContainsFunc(others, func(h orchestrator.HeldOut) bool { return strings.EqualFold(h.Name, name) }); n++ {
		name = fmt.Sprintf("%s-%d", safe, n)
	}
	return name
}

// maxSetName is in bytes; a file's name can have 255, and the ending, the
// number and a temporary name's are still to come.
const maxSetName = 200
