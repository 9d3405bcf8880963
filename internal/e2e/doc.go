// Package e2e runs the program as a user does, through its command line,
// against servers: the fake one in `make test`, a real vLLM in `make
// test-vllm` (build tag vllm). It holds tests only.
package e2e
