//go:build torch

package torch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"

	"github.com/justrl/justrl/updater"
	"github.com/justrl/justrl/updater/model"
	"github.com/justrl/justrl/updater/safetensors"
)

// Options says what to train, where and how.
type Options struct {
	Dir string // a model folder in the Hugging Face layout; not written to. Also the reference of update.kl_coef where that names none
	// DType is the arithmetic's and then also that of what Export writes:
	// float32 or bfloat16. "" leaves what is written as it was loaded, and
	// computes in float32 on a CPU and in the model's own dtype elsewhere.
	DType string
	// Device is cpu (also ""), cuda, or cuda:N. A process that has trained on
	// the CPU cannot open a CUDA device any more.
	Device  string
	Threads int // CPU threads of an operation; 0 = all
	// Update and Optimizer are the recipe's where they are zero.
	Update    updater.Config
	Optimizer updater.OptimizerConfig
}

// Trainer is the updater on libtorch. See updater.Updater for its methods; all
// of them take turns, so it may be shared, but not to any gain. On a CPU, in
// float32, a step depends on nothing but the state before it, the groups and the
// settings, to the last bit; on the number of threads it may.
type Trainer struct {
	opt     Options
	worker  *worker
	counter *counter
	layout  safetensors.Layout // of the files that it was opened from, and of those that it writes
	net     network
	// reference is the frozen model of update.kl_coef; the zero value without one.
	reference network
	updates   int64 // optimizer updates since the moments were zero
}

var _ updater.Updater = (*Trainer)(nil)

// Open loads a model folder. The caller closes the trainer.
func Open(ctx context.Context, o Options) (*Trainer, error) {
	if o.Update == (updater.Config{}) {
		o.Update = updater.DefaultConfig()
	}
	if o.Optimizer == (updater.OptimizerConfig{}) {
		o.Optimizer = updater.DefaultOptimizerConfig()
	}
	if err := errors.Join(o.Update.Validate(), o.Optimizer.Validate(), ctx.Err()); err != nil {
		return nil, err
	}
	device, err := parseDevice(o.Device)
	if err != nil {
		return nil, err
	}
	t := &Trainer{opt: o, worker: startWorker(), counter: &counter{}}
	if err := t.do(func() error { return t.load(device) }); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

func (t *Trainer) load(device int) (err error) {
	spec, set, err := model.Open(t.opt.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, set.Close()) }()
	if err := sameHead(spec, set); err != nil {
		return fmt.Errorf("%s: %w", t.opt.Dir, err)
	}
	t.layout = set.Layout()
	t.net = network{spec: spec, device: device, kind: kindFloat32}
	switch {
	case t.opt.DType != "":
		if t.net.kind, err = kindOf(t.opt.DType); err != nil {
			return err
		}
		t.layout = t.layout.WithDType(t.net.kind.String())
	case device >= 0 && spec.DType == "bfloat16":
		t.net.kind = kindBFloat16
	}
	if t.net.kind == kindFloat16 {
		return errors.New("torch: dtype float16 is not trained in: it needs loss scaling; use bfloat16 or float32")
	}
	if err := prepare(device, t.opt.Threads); err != nil {
		return err
	}
	s := newScope(t.counter)
	defer s.close()
	if err := t.net.load(s, set, trained); err != nil || t.opt.Update.KLCoef == 0 {
		return err
	}
	return t.loadReference()
}

// sameHead refuses a tied model whose folder has another head than the
// embedding: programs differ in which of the two they compute with.
func sameHead(spec model.Spec, set *safetensors.Set) error {
	if _, has := set.Info(model.HeadName); !has || !spec.TiedHead {
		return nil
	}
	head, err := set.Bytes(model.HeadName)
	if err != nil {
		return err
	}
	embed, err := set.Bytes(model.EmbedName)
	if err != nil {
		return err
	}
	if !bytes.Equal(head, embed) {
		return fmt.Errorf("config.json ties the head to the embedding, but %s and %s differ: set tie_word_embeddings to false, or remove the head", model.HeadName, model.EmbedName)
	}
	return nil
}

// do runs f on the trainer's thread. What f has freed is not kept beyond it.
func (t *Trainer) do(f func() error) error {
	return t.worker.do(func() error {
		defer trimMemory()
		return f()
	})
}

// prepare readies the calling thread and the device.
func prepare(device, threads int) error {
	if threads <= 0 {
		threads = runtime.NumCPU()
	}
	keepMemory() // before libtorch allocates
	if err := setThreads(threads); err != nil {
		return err
	}
	noGrad()
	if device < 0 {
		return nil
	}
	return useCUDA(device)
}

// parseDevice returns -1 for the CPU, else the CUDA index.
func parseDevice(name string) (int, error) {
	switch name {
	case "", "cpu":
		return -1, nil
	case "cuda":
		return 0, nil
	}
	if index, ok := strings.CutPrefix(name, "cuda:"); ok {
		if n, err := strconv.ParseUint(index, 10, 7); err == nil {
			return int(n), nil
		}
	}
	return 0, fmt.Errorf("torch: unknown device %q: cpu, cuda or cuda:N", name)
}

// Spec is the architecture of the model.
func (t *Trainer) Spec() model.Spec { return t.net.spec }

// Close frees the weights and ends the trainer's thread. A second call does nothing.
func (t *Trainer) Close() error {
	return t.worker.close(func() error {
		defer trimMemory()
		t.net.free(t.counter)
		t.reference.free(t.counter)
		return nil
	})
}
