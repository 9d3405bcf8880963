"""Writes oracle.json, what Python, numpy and scipy say of the figures of this
package. Needs numpy and scipy; run in this folder."""
import itertools
import json
import random

import numpy as np
import scipy
from scipy import stats

rng = random.Random(7)
nrng = np.random.default_rng(7)


def four_grams(texts):
    distinct, total = set(), 0
    for text in texts:
        words = text.split()
        for i in range(len(words) - 3):
            distinct.add(tuple(words[i : i + 4]))
            total += 1
    return len(distinct) / total if total else 0


# Every character up to U+3100, each as the only one between two words.
spaces = [i for i in range(0x3100) if len(("a" + chr(i) + "b").split()) == 2]

words = ["a", "b", "the", "\\frac{1}{2}", "中文", "é", "x" * 40, "12345678", "1234567890123456", "\u200b", "\u00e2", "\ud7ff"]
gaps = [" ", "  ", "\n", "\t", "\u3000", "\u00a0", "\u2028", "\u001f", "\u0085", "\u200b", "\u2029 ", "\r\n"]
texts = []
for _ in range(40):
    texts.append(["".join(rng.choice(words) + rng.choice(gaps) for _ in range(rng.randint(0, 60))) for _ in range(rng.randint(1, 4))])
distinct = [{"texts": t, "share": four_grams(t)} for t in texts]

rates = []
for problems in (8, 30, 120):
    a = np.round(nrng.beta(0.7, 0.9, problems) * 8) / 8
    b = np.clip(np.round((a + nrng.normal(-0.08, 0.25, problems)) * 8) / 8, 0, 1)
    d = a - b
    # scipy's bootstrap of a mean, percentile, and its paired permutation test.
    interval = stats.bootstrap((d,), np.mean, n_resamples=200_000, method="percentile", batch=1000, rng=1).confidence_interval
    single = stats.bootstrap((a,), np.mean, n_resamples=200_000, method="percentile", batch=1000, rng=1).confidence_interval
    test = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=300_000, batch=1000, rng=1)
    rates.append({
        "a": a.tolist(), "b": b.tolist(), "difference": float(d.mean()), "p": float(test.pvalue),
        "interval": [float(interval.low), float(interval.high)], "a_interval": [float(single.low), float(single.high)],
    })


# pass@k and majority@k of small cases over every draw, by their definition.
def vote(draw):
    count = {}
    for answer, _ in draw:
        if answer:
            count[answer] = count.get(answer, 0) + 1
    if not count:
        return 0.0
    most = max(count.values())
    winners = [a for a, c in count.items() if c == most]
    return sum(winner_score[w] for w in winners) / len(winners)


votes = []
for _ in range(40):
    n = rng.randint(1, 8)
    answers = [(rng.choice(["", "a", "b", "c", "d"]), rng.random() < 0.4) for _ in range(n)]
    if rng.random() < 0.6:  # the usual case: equal answers are judged alike
        answers = [(a, a == "a") for a, _ in answers]
    winner_score = {}
    for a in {a for a, _ in answers}:
        right = [c for b, c in answers if b == a]
        winner_score[a] = sum(right) / len(right)
    by_k, pass_k = [], []
    for k in range(1, n + 1):
        draws = list(itertools.combinations(answers, k))
        by_k.append(sum(vote(d) for d in draws) / len(draws))
        pass_k.append(sum(any(c for _, c in d) for d in draws) / len(draws))
    votes.append({"answers": [a for a, _ in answers], "correct": [c for _, c in answers], "majority": by_k, "pass": pass_k})

lengths = [int(x) for x in np.exp(nrng.normal(5, 1, 101))]
quantiles = [int(np.quantile(lengths, q, method="inverted_cdf")) for q in (0.1, 0.5, 0.9, 0.99)]

with open("oracle.json", "w") as f:
    json.dump({
        "made_with": {"numpy": np.__version__, "scipy": scipy.__version__},
        "spaces": spaces, "distinct": distinct, "rates": rates, "votes": votes,
        "lengths": lengths, "quantiles": quantiles,
    }, f)
    f.write("\n")
