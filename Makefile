# Every target that needs libtorch builds through scripts/with-torch: one set of
# flags, so that gotch (minutes of C++) is compiled once a machine.

# Paths for `make install`.
PREFIX ?= /usr/local

torch := scripts/with-torch
# Packages with files behind the build tag torch; the others are tested without it.
torch_packages := ./updater/torch ./internal/... ./examples/...
browser_packages := ./internal/webpage/... ./orchestrator/report ./orchestrator/compare ./orchestrator/dashboard ./benchmarks/report

.DELETE_ON_ERROR:
.PHONY: all build plain demo test test-plain test-torch test-embedded test-vllm test-ollama test-llama test-cuda test-browser smollm2 test-smollm2 bench-serve bench-update bench-sample bench-grade bench-publish bench-overhead test-kills soak lint fuzz policy example-logic example-commonsense example-multihop install clean help

all: build

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the full program, bin/justrl (libtorch is found or fetched: 530 MB, and gotch compiled: minutes, once)
	$(torch) go build -tags torch -o bin/justrl .

demo: build ## train the shipped policy on this machine until it can add, and write a report (2 minutes after the build)
	bin/justrl run --preset tiny-cpu --model examples/arithmetic/policy --data examples/arithmetic/train.jsonl \
		--validation examples/arithmetic/heldout.jsonl --out runs/demo-$$(date +%Y%m%d-%H%M%S)

plain: ## the static program without training, bin/justrl-plain: needs nothing but Go
	scripts/need-go
	CGO_ENABLED=0 go build -trimpath -o bin/justrl-plain .

test: test-plain test-torch ## all tests that need no server (10 minutes the first time, 5 after)

test-plain: plain ## what is pure Go, under the race detector
	go vet ./...
	scripts/gotest -race ./...

test-torch: build ## the updater on libtorch, and the whole program against the fake server
	$(torch) go vet -tags torch $(torch_packages)
	$(torch) scripts/gotest -tags torch -timeout 20m $(torch_packages)

test-kills: build ## a run killed at 30 random moments (KILLS=) and resumed (make test has the named moments, and a full disk at each write)
	JUSTRL_KILLS=$${KILLS:-30} $(torch) scripts/gotest -tags torch -run TestEmbeddedKilled -timeout 60m -v ./internal/e2e

soak: build ## train the shipped policy for STEPS (1000) steps and see that nothing grows and no reward falls (2 s a step); SOAK=DIR keeps the run
	$(torch) go vet -tags torch,soak ./internal/e2e
	JUSTRL_SOAK_STEPS=$${STEPS:-1000} JUSTRL_SOAK_OUT="$(abspath $(SOAK))" $(torch) scripts/gotest -tags torch,soak -run Soak -timeout 12h -v ./internal/e2e

test-embedded: build ## the tests of a real vLLM, against the embedded server (3 minutes)
	scripts/with-embedded examples/arithmetic/policy $(torch) scripts/gotest -tags torch,vllm -run VLLM -timeout 30m -v -p 1 ./sampler/vllm ./internal/e2e

test-vllm: build ## the whole loop against real vLLMs on this CPU, two of which are killed (12 minutes the first time, 8 after)
	$(torch) go vet -tags torch,vllm ./internal/e2e ./sampler/vllm ./bridge/vllm
	scripts/with-vllm examples/arithmetic/policy $(torch) scripts/gotest -tags torch,vllm -run "VLLM|ServesAnExport|SecondServer" -timeout 60m -v -p 1 ./sampler/vllm ./bridge/vllm ./internal/cli ./internal/e2e
	VLLM_TRANSFER=1 scripts/with-vllm examples/arithmetic/policy scripts/gotest -run SyncOnVLLM -timeout 30m -v ./internal/cli

test-ollama: build ## Ollama's dialect, its loading of weights and two steps of training, on a real Ollama (built once: 8 CPU-minutes; then 1 to 2)
	$(torch) go vet -tags torch,ollama ./internal/e2e ./sampler/ollama ./bridge/ollama
	scripts/with-ollama examples/arithmetic/policy $(torch) scripts/gotest -tags torch,ollama -run Ollama -timeout 20m -v -p 1 ./sampler/ollama ./internal/e2e ./bridge/ollama

test-llama: ## rollouts and log-probs of a real llama-server on this CPU (6 minutes the first time, seconds after)
	go vet -tags llama ./sampler/llama
	scripts/with-llama examples/arithmetic/policy scripts/gotest -tags llama -run Llama -timeout 10m -v ./sampler/llama

test-cuda: build ## the updater's tests on a GPU, where there is one (a PyTorch with CUDA in python3, or LIBTORCH=)
	JUSTRL_TEST_DEVICE=cuda $(torch) scripts/gotest -tags torch -timeout 20m ./updater/torch

test-browser: ## reports and the page of a run as a browser shows them, judged by axe-core from npm (installs Chromium where it is missing and you are root)
	scripts/need-chromium
	go vet -tags browser $(browser_packages)
	scripts/gotest -tags browser -run Browser -timeout 15m -v -p 1 $(browser_packages)

smollm2: ## make SmolLM2-135M-Instruct, a real pretrained model, in the cache (110 MB fetched, a minute, once)
	scripts/smollm2

test-smollm2: build ## transformers and huggingface_hub as judges: a real pretrained model, random architectures, exports, one cache (5 minutes)
	$(torch) go vet -tags torch,smollm2 ./internal/e2e
	set -e; model=$$(scripts/smollm2); env=$$(scripts/vllm-env); \
	JUSTRL_SMOLLM2=$$model JUSTRL_PYTHON=$$env/bin/python $(torch) scripts/gotest -tags torch,smollm2 -run SmolLM2 -timeout 20m -v ./internal/e2e; \
	JUSTRL_PYTHON=$$env/bin/python $(torch) scripts/gotest -tags torch -run Transformers -timeout 20m -v ./updater/torch; \
	JUSTRL_PYTHON=$$env/bin/python scripts/gotest -run Python -v ./internal/hub

bench-serve: build ## tokens a second of the embedded server, a real vLLM and transformers, in turns (minutes; MODEL=, CONTENDERS=)
	scripts/bench-serve

bench-update: ## the updater against TRL and packed PyTorch, in turns: speed, memory (an hour; CHECKS=speed MODEL=tiny CONTENDERS=best: 5 minutes; PAIRS=)
	scripts/bench-update

bench-sample: ## a vLLM's answers read against encoding/json, memory, a real vLLM asked against its own client (20 minutes; PAIRS=, VLLM=0: 2 minutes)
	scripts/bench-sample
	scripts/bench-fleet

bench-grade: ## answers read and graded against wc: speed, memory (1.2 GB in TMPDIR; minutes; ROUNDS=, SHARE=)
	scripts/bench-grade

bench-publish: ## a snapshot of the weights against a plain synced copy, in turns (1.5 GB in TMPDIR; a minute; MB=, PAIRS=)
	scripts/bench-publish

bench-overhead: build ## what journal, metrics and page take of a step, in turns with it (a minute; STEPS=)
	scripts/bench-overhead

lint: ## gofmt, go vet, staticcheck, golangci-lint, shellcheck where it is installed
	scripts/lint

fuzz: ## every fuzz target for FUZZTIME (default 20s)
	scripts/fuzz $${FUZZTIME:-20s}

policy: ## make the shipped policy again: problems, tokenizer, warm-up (about 10 minutes)
	$(torch) go run -tags torch ./examples/arithmetic/make --out examples/arithmetic --seed 1

example-logic: ## warm a small policy up on truth-tellers, and train it (example-commonsense, example-multihop: the other two)
example-logic example-commonsense example-multihop: example-%: build
	[ -f build/examples/$*/model.safetensors ] || $(torch) go run -tags torch ./examples/make --policy build/examples $*
	bin/justrl run --config examples/$*/run.yaml --out runs/$*-$$(date +%Y%m%d-%H%M%S)

install: build ## into PREFIX (default /usr/local): the program and the parts of libtorch that it needs
	install -D bin/justrl "$(DESTDIR)$(PREFIX)/bin/justrl"
	$(torch) scripts/install-libtorch "$(DESTDIR)$(PREFIX)/lib/justrl"

clean: ## remove what was built here (the cache stays)
	rm -rf bin build
