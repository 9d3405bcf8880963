// Command make makes the examples beyond mathematics: their problems, and with
// --policy (build tag torch) a policy that answers them badly, to be trained.
//
//	go run ./examples/make logic commonsense multihop
//	scripts/with-torch go run -tags torch ./examples/make --policy build/examples logic
//
// Problems depend on the seed alone.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
)

type options struct {
	out, policy    string
	seed           int64
	train, heldOut int
	updates, batch int
	lr             float64
	threads        int
}

func main() {
	var o options
	flag.StringVar(&o.out, "out", "examples", "folder of the examples' folders, for their problems")
	flag.StringVar(&o.policy, "policy", "", "folder for the examples' policies; empty = write problems, make no policy")
	flag.Int64Var(&o.seed, "seed", 1, "seed of the problems, the first weights and the warm-up")
	flag.IntVar(&o.train, "train", 2000, "problems to train on")
	flag.IntVar(&o.heldOut, "held-out", 200, "problems held out")
	flag.IntVar(&o.updates, "updates", 0, "optimizer updates of the warm-up; 0 = the example's own")
	flag.IntVar(&o.batch, "batch", 0, "answers an update; 0 = the example's own")
	flag.Float64Var(&o.lr, "lr", 0, "highest learning rate of the warm-up; 0 = the example's own")
	flag.IntVar(&o.threads, "threads", 0, "CPU threads; 0 = all")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	for _, name := range flag.Args() {
		i := slices.IndexFunc(tasks(), func(t task) bool { return t.name == name })
		err := fmt.Errorf("there is no example %q", name)
		switch {
		case i < 0:
		case o.policy != "":
			err = makePolicy(ctx, o, tasks()[i])
		default:
			err = writeProblems(o, tasks()[i])
		}
		if err != nil {
			slog.Error("make example", "example", name, "err", err)
			os.Exit(1)
		}
	}
}

// generator is that of a task's problems.
func (o options) generator() *rand.Rand { return rand.New(rand.NewPCG(uint64(o.seed), 0)) }

func writeProblems(o options, t task) error {
	train, held := t.split(o.generator(), o.train, o.heldOut)
	for set, all := range map[string][]exercise{"train": train, "heldout": held} {
		b, err := t.file(set, all)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(o.out, t.name, set+t.ending), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}
