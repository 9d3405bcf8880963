package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	bridgevllm "github.com/justrl/justrl/bridge/vllm"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/updater/model"
)

// diagnosis is what doctor says of one server.
type diagnosis struct {
	URL       string          `json:"url"`
	Dialect   sampler.Dialect `json:"dialect,omitempty"` // "" if it did not answer
	Reachable bool            `json:"reachable"`
	Evaluates bool            `json:"evaluates"` // `justrl eval` can use it
	Trainable bool            `json:"trainable"` // `justrl run` can use it as it is
	// SameModel is "yes" where all that can be asked agrees with --model, "no", or "" without --model.
	SameModel string `json:"same_model,omitempty"`
	// Sync is the way in which a run would load it; "" if in none.
	Sync    string       `json:"sync,omitempty"`
	Manners manners      `json:"manners"`
	Agent   *besides     `json:"agent,omitempty"` // nil without one
	Plan    string       `json:"plan"`
	Problem string       `json:"problem,omitempty"`
	Info    sampler.Info `json:"info"`

	near  bool // it is on this machine
	vocab int  // of the server
}

// doctor looks at servers as a run's start does.
type doctor struct {
	cfg  config.Config
	spec model.Spec // zero without --model
	how  endpoint.Options
	// agent is the one beside a server, and how it is reached; nil without one.
	agent func(server string) (*endpoint.Endpoint, endpoint.Options, error)
}

// diagnose looks at one server. The error is why it cannot train.
func (doc doctor) diagnose(ctx context.Context, address string) (d diagnosis, err error) {
	d = diagnosis{URL: endpoint.Redact(address)}
	defer func() {
		if err != nil {
			d.Problem = strings.ReplaceAll(err.Error(), "\n", "; ")
		}
		d.Trainable = err == nil
		d.Plan = d.plan(doc.cfg)
	}()
	e, err := endpoint.New(address, doc.how)
	if err != nil {
		return d, usage(err)
	}
	defer e.Close()
	d.URL, d.near = e.URL(), e.Loopback()
	beside, agentHow, err := doc.agent(address)
	if err != nil {
		return d, usage(err)
	}
	var agentErr error
	if beside != nil {
		defer beside.Close()
		d.Agent, agentErr = lookAtAgent(ctx, beside, agentHow)
	}
	kind, err := discover(ctx, e)
	if err != nil {
		return d, errors.Join(err, agentErr)
	}
	d.Dialect, d.Reachable = kind.name, true
	s := &server{name: e.URL(), endpoint: e, control: e, spec: doc.spec, cfg: doc.cfg, agent: beside}
	if d.Info, err = kind.probe(ctx, e, doc.cfg.Served, probing); err != nil {
		var unreachable *endpoint.UnreachableError
		d.Reachable = !errors.As(err, &unreachable)
		return d, errors.Join(err, agentErr)
	}
	d.vocab, d.Evaluates = d.Info.Vocab, !d.Info.Paused
	if beside != nil {
		d.Info = byAgent(d.Info, d.Agent.Status)
	}
	s.spec.Vocab = cmp.Or(s.spec.Vocab, d.Info.Vocab)
	d.Sync, err = s.check(kind, d.Info)
	err = errors.Join(err, agentErr)
	if doc.cfg.Model != "" {
		d.SameModel = yesNo(s.sameTensors(d.Info) == nil && (d.Info.Vocab == 0 || d.Info.Vocab == doc.spec.Vocab))
	}
	switch ollama := d.Dialect == sampler.DialectOllama; {
	case kind.open == nil, d.Info.Paused, d.SameModel == "no", !d.Info.TokenIDs && !ollama, ollama && doc.cfg.Model == "": // without a tokenizer
		return d, err
	}
	f, openErr := kind.open(s, d.Info)
	if openErr != nil {
		return d, errors.Join(err, openErr)
	}
	f.info = d.Info
	var unlike error
	d.Manners, unlike = behaves(ctx, e.URL(), f)
	return d, errors.Join(err, unlike)
}

// plan is what a run would do with the server, or why none can use it.
func (d diagnosis) plan(cfg config.Config) string {
	why := strings.TrimPrefix(strings.ReplaceAll(d.Problem, d.URL+": ", ""), "probe server: ")
	switch {
	case d.Trainable:
		through := ""
		if d.Agent != nil {
			through = d.Agent.URL
		}
		return "trains: " + loading(d.near, d.Info, d.Sync, through, cfg)
	case d.Evaluates:
		return "evaluates only (justrl eval --server " + d.URL + "); cannot train: " + why
	}
	return "none: " + why
}

// loading says how weights get into a server, which is near if it is on this
// machine, or through the agent of that address, and how that is proved.
func loading(near bool, i sampler.Info, way, through string, cfg config.Config) string {
	how := "by " + way
	switch way {
	case bridgevllm.WayFiles, "disk":
		how = "as files in " + sharedFolder(cfg) + ", which it must see under the same path"
		if !near {
			how += " (it is on another machine: set publish.dir to a folder that both see)"
		}
	case bridgevllm.WayInPlace:
		how = "written over the files of the folder that it was started with, " + cmp.Or(i.Root, "which it does not name")
	case bridgevllm.WayTransfer:
		how = "sent to it over TCP"
	case config.SyncCommand:
		how = "by publish.command, " + cmp.Or(strings.Join(cfg.Publish.Command, " "), "a program of yours")
	case "ollama":
		how = "uploaded, and created as " + i.Model + "; answers are tokenized here, old log-probs recomputed"
	}
	if through != "" {
		how = "through the agent at " + through + ", by " + way
	}
	canary := "canary: log-probs of fixed sequences before and after every load"
	if i.WeightVersion != "" {
		canary += ", and the weights version"
	}
	return "weights " + how + "; " + canary
}

// sharedFolder is where snapshots are.
func sharedFolder(cfg config.Config) string {
	out := cmp.Or(cfg.Out, "OUT")
	return cmp.Or(cfg.Publish.Dir, filepath.Join(out, "snapshots"))
}

// together is the plan for several servers, or why they are no fleet.
func together(all []diagnosis, cfg config.Config) (plan string, err error) {
	ways := map[string]int{}
	var first *diagnosis
	for i := range all {
		d := &all[i]
		if !d.Trainable {
			return "none as long as one cannot train; a server that is down when a run begins joins it later", nil
		}
		if first == nil {
			first = d
		}
		if d.vocab != 0 && first.vocab != 0 && d.vocab != first.vocab {
			return "none: two models", &sampler.CannotError{
				URL:  d.URL,
				What: fmt.Sprintf("serves %s with a vocabulary of %d, %s serves %s with %d", d.Info.Model, d.vocab, first.URL, first.Info.Model, first.vocab),
				Hint: "a run trains one model: start both with it",
			}
		}
		if d.Agent == nil {
			ways[d.Sync]++
		}
	}
	plan = fmt.Sprintf("%d servers as one: each loads every step's weights and proves it; one that fails is left out and comes back", len(all))
	if n := ways[bridgevllm.WayFiles] + ways["disk"]; n > 0 {
		plan += fmt.Sprintf("; %d of them read the same files, %s: all must see that path", n, sharedFolder(cfg))
	}
	return plan, nil
}

// rows are the table of one server.
func (d diagnosis) rows() [][2]string {
	rows := [][2]string{{"server", d.URL}, {"reachable", yesNo(d.Reachable)}}
	if d.Info.Model != "" {
		rows = append(rows, d.found()...)
	} else if d.Dialect != "" {
		dialect := string(d.Dialect)
		if d.Dialect == sampler.DialectOpenAI {
			dialect += ", as it shows no sign of another" // nor, it may be, of this one
		}
		rows = append(rows, [2]string{"dialect", dialect})
	}
	if d.Agent != nil {
		rows = append(rows, d.Agent.rows()...)
	}
	return append(rows, [2]string{"evaluates", yesNo(d.Evaluates)}, [2]string{"trainable", yesNo(d.Trainable)}, [2]string{"plan", d.Plan})
}

// notTried is of what cannot be, or where what came back does not tell.
const notTried = "not seen"

// found are the rows of a server that answers.
func (d diagnosis) found() [][2]string {
	i := d.Info
	dialect := strings.TrimSpace(string(d.Dialect) + " " + i.Version)
	name := i.Model
	if i.Root != "" && i.Root != i.Model {
		name += ", loaded from " + i.Root
	}
	same := map[string]string{"": "not compared; --model DIR does", "yes": "yes, by what can be asked", "no": "no"}[d.SameModel]
	samples := "any number a request"
	if i.MaxSamples > 0 {
		samples = "at most " + strconv.Itoa(i.MaxSamples) + " a request"
	}
	seeds := d.Manners.Seeds
	switch {
	case seeds != "":
	case d.Dialect == sampler.DialectOpenAI: // whose probe tries them
		seeds = map[bool]string{true: heeded, false: ignored}[i.Seeds]
	default:
		seeds = notTried
	}
	logprobs := map[sampler.LogprobsMode]string{
		sampler.LogprobsRaw: "raw: of the model, before temperature", sampler.LogprobsProcessed: "processed: of what is sampled from, after temperature",
	}[i.LogprobsMode]
	if logprobs != "" && !i.Scores {
		logprobs += "; none of fixed sequences"
	}
	pause := "no"
	switch {
	case i.Paused:
		pause = "yes, and it is paused"
	case i.DevMode:
		pause = "yes"
	}
	return [][2]string{
		{"dialect", dialect}, {"model", name}, {"the run's model", same},
		{"vocabulary", number(i.Vocab, "ids")}, {"context", number(i.MaxModelLen, "tokens")}, {"quantization", cmp.Or(i.Quantization, "not said")},
		{"token ids", yesNo(i.TokenIDs)}, {"log-probs", logprobs}, {"n", samples}, {"seeds", seeds}, {"temperature", cmp.Or(d.Manners.Temperature, notTried)},
		{"pause", pause}, {"loaded by", waysOf(i.Loads, d.Sync)}, {"weights version", cmp.Or(i.WeightVersion, "none")}, {"adapters", cmp.Or(strings.Join(i.Adapters, ", "), "none")},
	}
}

// waysOf are the ways of loading, with the one that a run takes.
func waysOf(all []string, taken string) string {
	if len(all) == 0 {
		return "nothing"
	}
	out := slices.Clone(all)
	for i, w := range out {
		if w == taken && len(all) > 1 {
			out[i] += " (the run's)"
		}
	}
	return strings.Join(out, ", ")
}

// examined is all that doctor says.
type examined struct {
	Servers []diagnosis `json:"servers"`
	Fleet   string      `json:"fleet,omitempty"` // the plan for several
}

func (x examined) print(w io.Writer) error {
	for i, d := range x.Servers {
		if i > 0 {
			if _, err := fmt.Fprintln(w); err != nil {
				return err
			}
		}
		if err := printRows(w, d.rows()); err != nil {
			return err
		}
	}
	if x.Fleet == "" {
		return nil
	}
	_, err := fmt.Fprintf(w, "\nfleet  %s\n", x.Fleet)
	return err
}

func printRows(w io.Writer, rows [][2]string) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, r := range rows {
		if _, err := fmt.Fprintf(t, "%s\t%s\n", r[0], cmp.Or(r[1], "unknown")); err != nil {
			return err
		}
	}
	return t.Flush()
}

func number(n int, unit string) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n) + " " + unit
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
