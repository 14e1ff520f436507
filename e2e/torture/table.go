package torture

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// WriteTable writes one line of each report, for comparisons.
func WriteTable(w io.Writer, reports []*Report) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "cache\tinvalidation\tfault\treads\tstale reads\tstale versions\ttorn\tsurvivors\thit ratio\tinvalidation p50 / p99 ms\tcommits/s\tseed")
	for _, r := range reports {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%.2f %%\t%d\t%d\t%.1f %%\t%.2f / %.1f\t%.0f\t%d\n", r.Target, r.Means, r.Fault, r.Reads, r.Stale,
			r.StaleVersions(), r.Torn, r.Survivors, 100*r.HitRatio(), r.Invalidation.P50, r.Invalidation.P99, float64(r.Commits)/r.Seconds, r.Seed)
	}
	return t.Flush()
}

// StaleVersions is the share of commits, in percent, whose older version was read after the invalidation.
func (r *Report) StaleVersions() float64 {
	return 100 * float64(r.Outdated) / float64(max(1, r.Commits))
}
