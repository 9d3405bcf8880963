package grpo

import "math"

// AdvantageEps is added to a group's standard deviation.
const AdvantageEps = 1e-6

// Advantages turns the rewards of one group into advantages (GRPO, arXiv
// 2402.03300 §4.1.2): (r − mean) / (std + 1e-6) with the unbiased standard
// deviation (n − 1), or r − mean if std is false.
//
// A group of equal rewards has advantages of exactly 0. A group of one has
// nothing to compare with; as in verl its mean is taken as 0 and its standard
// deviation as 1. A reward that is not finite makes every advantage of the
// group NaN, which [Objective.Add] reports. nil for no rewards.
func Advantages(rewards []float64, std bool) []float64 {
	if len(rewards) == 0 {
		return nil
	}
	mean, deviation := 0.0, 1.0
	if len(rewards) > 1 {
		mean, deviation = moments(rewards)
	}
	a := make([]float64, len(rewards))
	for i, r := range rewards {
		a[i] = r - mean
		if std {
			a[i] /= deviation + AdvantageEps
		}
		if math.IsInf(a[i], 0) || math.IsNaN(a[i]) {
			return poison(a)
		}
	}
	return a
}

// moments returns the mean and the unbiased standard deviation of at least
// two values. Equal values have their own value as the mean, exactly: a sum
// divided by n would leave a rounding error for the division by 1e-6 to magnify.
func moments(v []float64) (mean, std float64) {
	equal := true
	for _, x := range v {
		mean += x
		equal = equal && x == v[0]
	}
	if equal {
		return v[0], 0
	}
	mean /= float64(len(v))
	sum := 0.0
	for _, x := range v {
		sum += (x - mean) * (x - mean)
	}
	return mean, math.Sqrt(sum / float64(len(v)-1))
}

func poison(a []float64) []float64 {
	for i := range a {
		a[i] = math.NaN()
	}
	return a
}
