package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/benchmarks/sets"
	"github.com/justrl/justrl/internal/hub"
)

func dataVerifyCommand() *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Usage:     "hash what is there and compare; it sends nothing. Exit code 1 if anything differs, or is named and missing, or --data-dir has no set",
		ArgsUsage: "[NAME|all|dapo|ORG/NAME[@REV]…]",
		Flags:     []cli.Flag{dataDirFlag("the cache"), kindFlag(), revisionFlag(), jsonFlag()},

		OnUsageError: dataUsage("data verify"),
		Action: func(c *cli.Context) error {
			todo, err := targets(c)
			if err != nil {
				return usagef("data verify: %w", err)
			}
			if len(todo) == 0 {
				todo = allSets()
			}
			dir := c.String("data-dir")
			for _, t := range todo {
				if t.set == nil {
					continue
				}
				if err := needDataDir(dir); err != nil {
					return fmt.Errorf("data verify: %w", err)
				}
				break
			}
			var all []found
			var faults []error
			missing := 0
			for _, t := range todo {
				f, err := verify(c.Context, t, dir)
				if c.Err() != nil {
					return context.Cause(c.Context)
				}
				all = append(all, f)
				if f.Status == statusMissing {
					missing++
				}
				if err != nil && (f.Status != statusMissing || t.named) {
					faults = append(faults, fmt.Errorf("data verify: %w", err))
				}
			}
			if err := printFound(c.App.Writer, all, c.Bool("json")); err != nil {
				return err
			}
			if dir != "" && missing == len(all) && len(faults) == 0 { // nothing was verified
				return fmt.Errorf("data verify: --data-dir %s has none of the sets; justrl data fetch all --data-dir %s brings them", dir, dir)
			}
			return errors.Join(faults...)
		},
	}
}

// verify hashes what is there of one target. err says what is wrong.
func verify(ctx context.Context, t target, dir string) (found, error) {
	if t.set != nil {
		return checkSet(sets.Store{Dir: dir}, *t.set)
	}
	f := found{Name: t.ref.String(), Type: t.ref.Kind, Status: statusMissing}
	o, err := hub.FromEnv(os.Getenv)
	if err != nil {
		return f, usage(err)
	}
	client, err := hub.New(o)
	if err != nil {
		return f, usage(err)
	}
	defer client.Close()
	snapshot, files, err := client.Check(ctx, t.ref)
	if err != nil {
		return f, err
	}
	f.Commit, f.Path, f.Status = filepath.Base(snapshot), snapshot, statusOK
	var faults []error
	for _, file := range files {
		if t.ref.File != "" && file.Path != t.ref.File {
			continue
		}
		f.Files++
		f.Bytes += file.Size
		if file.Err != nil {
			f.Status = statusDiffers
			faults = append(faults, fmt.Errorf("%s: %w", t.ref, file.Err))
		}
	}
	if f.Files == 0 {
		f.Path, f.Status = "", statusMissing
		return f, fmt.Errorf("%s is not in the cache %s", t.ref, o.Cache)
	}
	err = errors.Join(faults...)
	if err != nil {
		f.Error = err.Error()
	}
	return f, err
}
