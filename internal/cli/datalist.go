package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/benchmarks/sets"
	"github.com/justrl/justrl/internal/hub"
)

// The statuses of what is listed and verified.
const (
	statusOK      = "ok"
	statusMissing = "missing"
	statusDiffers = "differs" // from its checksum
)

func dataListCommand() *cli.Command {
	return &cli.Command{
		Name:         "list",
		Usage:        "list the sets, their sizes, and where their files are; it sends nothing",
		Flags:        []cli.Flag{dataDirFlag("the cache"), jsonFlag()},
		OnUsageError: dataUsage("data list"),
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usagef("data list takes no argument %q; see justrl data list --help", c.Args().First())
			}
			if err := needDataDir(c.String("data-dir")); err != nil {
				return fmt.Errorf("data list: %w", err)
			}
			var all []found
			store := sets.Store{Dir: c.String("data-dir")}
			for _, t := range allSets() {
				f, _ := checkSet(store, *t.set) // the status says it
				all = append(all, f)
			}
			f, err := listDAPO(c.Context)
			if err != nil {
				return err
			}
			return printFound(c.App.Writer, append(all, f), c.Bool("json"))
		},
	}
}

// checkSet looks at a set's file; err says what is wrong.
func checkSet(store sets.Store, set sets.Set) (found, error) {
	path, err := store.Check(set)
	var missing *sets.MissingError
	switch {
	case err == nil:
		return ofSet(set, statusOK, path), nil
	case errors.As(err, &missing):
		return ofSet(set, statusMissing, ""), err
	}
	f := ofSet(set, statusDiffers, path)
	f.Error = err.Error()
	return f, err
}

// listDAPO looks whether the training data is in the hub's cache.
func listDAPO(ctx context.Context) (found, error) {
	o, err := hub.FromEnv(os.Getenv)
	if err != nil {
		return found{}, usage(err)
	}
	o.Offline = true
	client, err := hub.New(o)
	if err != nil {
		return found{}, usage(err)
	}
	defer client.Close()
	f := found{Name: dapoName, Type: dapo.Kind, Status: statusMissing, Origin: "hf://datasets/" + dapo.ID + "/" + dapo.File}
	path, err := client.File(ctx, dapo)
	var off *hub.OfflineError
	if errors.As(err, &off) {
		return f, nil
	}
	if err != nil {
		return f, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return f, fmt.Errorf("%s: %w", dapoName, err)
	}
	f.Status, f.Files, f.Bytes, f.Path = statusThere, 1, info.Size(), path // it is not hashed here
	return f, nil
}
