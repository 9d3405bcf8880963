// Package sympy asks Python's sympy what Go cannot answer: whether two answers
// are the same mathematics, and what one looks like once it is normalised.
//
// The authors' evaluation (evals/utils.py, see package benchmarks) defines both
// answers, and a verdict depends on the versions of CPython, sympy, mpmath and
// pylatexenc. So the interpreter is part of the program, the libraries are
// fetched by hash into the cache at first use (interpreter.go, setup.go), and
// [Pool.Versions] are to be written into every result.
//
// sympy evaluates what it reads, and some of it never ends. So it runs in
// processes of its own: one [Pool] of workers, each killed and replaced when a
// pair takes too long, each confined (worker/confine.py):
//
//   - what has more than two letters, or towers of powers, is not evaluated (the
//     authors' own guard), nor is anything but a formula over sympy's names: no
//     attributes, strings, lambdas, builtins (worker/grader.py);
//   - CPU time a pair, address space, no file written, no core; on Linux a worker
//     that cannot have its address space limited does not start;
//   - Linux: Landlock (only the interpreter's files can be read) and seccomp (no
//     program, thread, socket or foreign process);
//   - CPython's audit events: the same once more, wherever CPython runs;
//   - an empty environment, an empty working directory, a process group.
//
// On Linux a pool does not open where neither Landlock nor seccomp holds; one of
// them will do, is told of, and [Pool.Confinement] says in every result what held.
//
// Deliberately absent: extraction of answers and the rules before and after the
// two questions, which need no Python (package rule).
package sympy
