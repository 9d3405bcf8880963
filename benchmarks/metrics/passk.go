package metrics

// PassAtK is the probability that one of k answers, drawn without putting back
// from n of which c are right, is right: 1 − C(n−c, k) / C(n, k), the unbiased
// estimator of Chen et al., arXiv 2107.03374, as a product that does not
// overflow. It needs 0 ≤ c ≤ n and 1 ≤ k ≤ n.
func PassAtK(n, c, k int) float64 {
	miss := 1.0
	for i := n - c + 1; i <= n; i++ {
		miss *= 1 - float64(k)/float64(i)
		if miss <= 0 { // more draws than wrong answers
			return 1
		}
	}
	return 1 - miss
}
