package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Differences names the keys that c and was do not agree on, dotted, each with both values.
func (c Config) Differences(was Config) []string {
	return differences("", reflect.ValueOf(c), reflect.ValueOf(was))
}

func differences(path string, is, was reflect.Value) (keys []string) {
	for i := range is.NumField() {
		key := strings.TrimPrefix(path+"."+is.Type().Field(i).Tag.Get("yaml"), ".")
		a, b := is.Field(i), was.Field(i)
		switch {
		case a.Kind() == reflect.Struct:
			keys = append(keys, differences(key, a, b)...)
		case a.Kind() == reflect.Slice && a.Len() == 0 && b.Len() == 0: // nil or empty
		case !reflect.DeepEqual(a.Interface(), b.Interface()):
			keys = append(keys, fmt.Sprintf("%s is %v, was %v", key, a.Interface(), b.Interface()))
		}
	}
	return keys
}

// Conducted is c with the settings of `as` that are no part of the experiment:
// where, how long and how carefully it runs.
func (c Config) Conducted(as Config) Config {
	c.Server, c.Served, c.Out, c.Steps, c.Budget = as.Server, as.Served, as.Out, as.Steps, as.Budget
	c.Trainer.Device, c.Trainer.Threads, c.Engine = as.Trainer.Device, as.Trainer.Threads, as.Engine
	c.Publish, c.Checkpoint, c.Mismatch, c.Monitor, c.Notify = as.Publish, as.Checkpoint, as.Mismatch, as.Monitor, as.Notify
	s, r := &c.Sampling, &c.Reward
	s.Concurrency, s.RequestTimeout, s.Patience = as.Sampling.Concurrency, as.Sampling.RequestTimeout, as.Sampling.Patience
	s.StepTimeout, s.Stream, s.MaxBatches = as.Sampling.StepTimeout, as.Sampling.Stream, as.Sampling.MaxBatches
	r.Timeout, r.MaxUnscored = as.Reward.Timeout, as.Reward.MaxUnscored
	r.Workers, r.Python, r.URL = as.Reward.Workers, as.Reward.Python, as.Reward.URL
	c.Validation.Every, c.Validation.Best = as.Validation.Every, as.Validation.Best
	c.Update.MaxPackTokens, c.Update.Recompute = as.Update.MaxPackTokens, as.Update.Recompute // how sums are cut, not what they are of
	return c
}
