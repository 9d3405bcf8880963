package openaitest_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shape is what two answers must have in common: the sorted set of "path type"
// of all JSON values and "path {keys}" of all objects. Texts and numbers may
// differ, but not those of an error: its message is part of the shape, with #
// for numbers.
//
// A stream is the shapes of its events, of equal ones in a row the first: how
// many tokens there are, and how many an event has, may differ.
func shape(reply string) []string {
	if strings.HasPrefix(reply, "data: ") {
		var out []string
		last := ""
		for _, event := range strings.Split(strings.TrimSuffix(reply, "\n\n"), "\n\n") {
			data, ok := strings.CutPrefix(event, "data: ")
			if !ok {
				data = "no event: " + event
			}
			if s := shape(data); strings.Join(s, "\n") != last {
				last = strings.Join(s, "\n")
				out = append(append(out, "event"), s...)
			}
		}
		return out
	}
	var v any
	if json.Unmarshal([]byte(reply), &v) != nil {
		return []string{numbers.ReplaceAllString(reply, "#")}
	}
	set := map[string]bool{}
	walk(set, "", v)
	return slices.Sorted(maps.Keys(set))
}

var numbers = regexp.MustCompile(`-?\d+(\.\d+)?`)

func walk(set map[string]bool, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		if byToken.MatchString(path) && v["token"] == nil {
			for _, x := range v { // the keys are data
				walk(set, path+".*", x)
			}
			return
		}
		set[fmt.Sprintf("%s {%s}", path, strings.Join(slices.Sorted(maps.Keys(v)), " "))] = true
		for k, x := range v {
			walk(set, path+"."+k, x)
		}
	case []any:
		set[path+" array"] = true
		for _, x := range v {
			walk(set, path+"[]", x)
		}
	case string:
		if strings.HasPrefix(path, ".error") || path == ".detail" {
			set[path+" "+numbers.ReplaceAllString(v, "#")] = true
			return
		}
		set[path+" string"] = true
	case float64:
		if path == ".error.code" {
			set[fmt.Sprint(path, " ", v)] = true
			return
		}
		set[path+" number"] = true
	case bool:
		set[path+" bool"] = true
	default:
		set[path+" null"] = true
	}
}

// byToken are the objects whose keys are tokens or their ids, or tensors.
var byToken = regexp.MustCompile(`(prompt_logprobs|top_logprobs)\[\]$|\.checksums$`)

// TestShapeSeesDifferences: what holds the fake to a real server must itself hold.
func TestShapeSeesDifferences(t *testing.T) {
	const base = `{"choices":[{"index":0,"token_ids":[1],"prompt_logprobs":[null,{"5":{"rank":1}}]}],"n":null}`
	for _, c := range []struct {
		name, reply string
		same        bool
	}{
		{"other numbers and lengths", `{"choices":[{"index":3,"token_ids":[7,8],"prompt_logprobs":[null,{"9":{"rank":4}},{"8":{"rank":2}}]}],"n":null}`, true},
		{"keys in another order", `{"n":null,"choices":[{"token_ids":[1],"index":0,"prompt_logprobs":[null,{"5":{"rank":1}}]}]}`, true},
		{"a key too few", `{"choices":[{"index":0,"prompt_logprobs":[null,{"5":{"rank":1}}]}],"n":null}`, false},
		{"a key too few in one of two", `{"choices":[{"index":0,"token_ids":[1],"prompt_logprobs":[null,{"5":{"rank":1}}]},{"index":0}],"n":null}`, false},
		{"a key too many", strings.Replace(base, `"n":null`, `"n":null,"m":1`, 1), false},
		{"a number for null", strings.Replace(base, `"n":null`, `"n":1`, 1), false},
		{"a text for a number", strings.Replace(base, `"index":0`, `"index":"0"`, 1), false},
		{"no null at the start", strings.Replace(base, `null,{`, `{`, 1), false},
		{"an empty list", strings.Replace(base, `[1]`, `[]`, 1), false},
		{"another rank", strings.Replace(base, `{"rank":1}`, `{"rank":"1"}`, 1), false},
		{"not JSON", base + "}", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(shape(base), shape(c.reply)); (diff == "") != c.same {
				t.Errorf("same shape is %v, want %v:\n%s", !c.same, c.same, diff)
			}
		})
	}
	refusal := func(message string) []string { return shape(`{"error":{"message":"` + message + `","code":400}}`) }
	if !slices.Equal(refusal("token 5 is over 4.5"), refusal("token 17 is over -2")) {
		t.Error("messages with other numbers differ")
	}
	if slices.Equal(refusal("token 5 is over 4"), refusal("token 5 is below 4")) {
		t.Error("messages with other words are the same")
	}
}
