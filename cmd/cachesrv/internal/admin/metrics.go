package admin

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/invalidate/purge"
)

// NewRegistry returns a registry with what a store and its invalidation over HTTP count, and the usual measurements of the Go
// runtime and the program. stats is asked at each scrape.
func NewRegistry(stats func() cache.Stats, purges *purge.Counts) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		&storeCollector{stats},
		newPurgeCollector(purges),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return r
}

// storeCollector turns a store's own counters into metrics, so that nothing is counted twice.
type storeCollector struct{ stats func() cache.Stats }

// A storeMetric is one field of cache.Stats.
type storeMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(cache.Stats) int64
}

func counter(name, help string, value func(cache.Stats) int64) storeMetric {
	return storeMetric{prometheus.NewDesc("cachesrv_"+name+"_total", help, nil, nil), prometheus.CounterValue, value}
}

func gauge(name, help string, value func(cache.Stats) int64) storeMetric {
	return storeMetric{prometheus.NewDesc("cachesrv_"+name, help, nil, nil), prometheus.GaugeValue, value}
}

func storeMetrics() []storeMetric {
	return []storeMetric{
		counter("hits", "Requests answered from the cache.", func(s cache.Stats) int64 { return s.Hits }),
		counter("misses", "Lookups that found no page that may be served.", func(s cache.Stats) int64 { return s.Misses }),
		counter("fills", "Claims taken to render a page.", func(s cache.Stats) int64 { return s.Fills }),
		counter("published", "Pages published.", func(s cache.Stats) int64 { return s.Published }),
		counter("invalidated_fills", "Fills not published because they were invalidated since the claim.", func(s cache.Stats) int64 { return s.Invalidated }),
		counter("invalidations", "Invalidations applied.", func(s cache.Stats) int64 { return s.Invalidations }),
		counter("dropped_pages", "Pages dropped by invalidations.", func(s cache.Stats) int64 { return s.Dropped }),
		counter("retired_generations", "Times every page was dropped at once.", func(s cache.Stats) int64 { return s.Retired }),
		counter("evicted_pages", "Pages evicted for want of room.", func(s cache.Stats) int64 { return s.Evicted }),
		counter("damaged_pages", "Pages dropped because their content was not what was published.", func(s cache.Stats) int64 { return s.Damaged }),
		counter("reclaimed_claims", "Orphaned claims taken away.", func(s cache.Stats) int64 { return s.Reclaimed }),
		counter("twins", "Compressed twins made.", func(s cache.Stats) int64 { return s.Twins }),
		gauge("pages", "Pages published now.", func(s cache.Stats) int64 { return s.Pages }),
		gauge("pages_bytes", "Bytes of the pages on disk.", func(s cache.Stats) int64 { return s.Bytes }),
		gauge("memory_bytes", "Bytes of the pages held in memory.", func(s cache.Stats) int64 { return s.MemoryBytes }),
		gauge("serving", "1 while this program may serve from the cache, as far as it knows.", func(s cache.Stats) int64 { return bit(s.Serving) }),
		gauge("fenced", "1 while an operator or a failure keeps all from serving from the cache.", func(s cache.Stats) int64 { return bit(s.Fenced) }),
	}
}

func bit(set bool) int64 {
	if set {
		return 1
	}
	return 0
}

// Describe implements prometheus.Collector.
func (c *storeCollector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range storeMetrics() {
		out <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *storeCollector) Collect(out chan<- prometheus.Metric) {
	s := c.stats()
	for _, m := range storeMetrics() {
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(m.value(s)))
	}
}

// purgeCollector does the same for requests that invalidate.
type purgeCollector struct {
	desc   *prometheus.Desc
	counts *purge.Counts
}

func newPurgeCollector(counts *purge.Counts) *purgeCollector {
	return &purgeCollector{prometheus.NewDesc("cachesrv_purge_requests_total",
		"Requests to invalidate over HTTP, by what they name and what became of them.", []string{"kind", "outcome"}, nil), counts}
}

// Describe implements prometheus.Collector.
func (c *purgeCollector) Describe(out chan<- *prometheus.Desc) { out <- c.desc }

// Collect implements prometheus.Collector.
func (c *purgeCollector) Collect(out chan<- prometheus.Metric) {
	for n := range c.counts.All() {
		out <- prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, float64(n.N), n.Kind.String(), n.Outcome.String())
	}
}
