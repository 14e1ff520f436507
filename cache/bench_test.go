package cache_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache"
)

// Each benchmark here reports a ratio of two things measured in the same run, as absolute times move with the machine.
// docs/PERFORMANCE.md holds figures and goals.

var page15K = bytes.Repeat([]byte("fifteen kilobyt"), 1024)

func BenchmarkHit(b *testing.B) {
	for _, size := range []int{2 << 10, 15 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			s := open(b, b.TempDir())
			fill(b, s, "h/a/b", string(bytes.Repeat([]byte("x"), size)))
			k := mustKey(b, "h/a/b")
			b.ReportAllocs()
			for b.Loop() {
				hit, err := s.Lookup(k)
				if err != nil {
					b.Fatal(err)
				}
				hit.Close()
			}
		})
	}
}

// BenchmarkFill is what a fill adds to a render: claim, 15 KB, three tags, publication.
func BenchmarkFill(b *testing.B) {
	s := open(b, b.TempDir())
	keys := make([]cache.Key, 10_000)
	for i := range keys {
		keys[i] = mustKey(b, fmt.Sprintf("h/section/%d", i))
	}
	meta := cache.Meta{Header: html, Tags: []string{"tag:a", "tag:b", "tag:c"}}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		f, err := s.Claim(b.Context(), keys[i%len(keys)])
		if err != nil {
			b.Fatal(err)
		}
		f.Write(page15K)
		if _, err := f.Publish(b.Context(), meta); err != nil {
			b.Fatal(err)
		}
		f.Close()
		i++
		if i%len(keys) == 0 {
			b.StopTimer()
			invalidate(b, s, cache.Selection{All: true})
			b.StartTimer()
		}
	}
}

func BenchmarkInvalidateKey(b *testing.B) {
	for _, there := range []bool{true, false} {
		b.Run(fmt.Sprintf("published=%v", there), func(b *testing.B) {
			s := open(b, b.TempDir())
			const n = 2000
			keys := make([]cache.Key, n)
			for i := range keys {
				keys[i] = mustKey(b, fmt.Sprintf("h/section/%d", i))
			}
			fill(b, s, "h/section/other", "x")
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if there && i%n == 0 {
					b.StopTimer()
					for _, k := range keys {
						fill(b, s, k.String(), string(page15K), "t")
					}
					b.StartTimer()
				}
				if _, err := s.Invalidate(b.Context(), cache.Selection{Keys: keys[i%n : i%n+1]}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// benchPages is the number of pages of a tag, and of a subtree.
const benchPages = 10_000

// The next two time what they measure themselves: making the pages takes longer.

// BenchmarkInvalidateTag compares an invalidation of 10,000 pages by tag with a bare loop that unlinks as many files.
func BenchmarkInvalidateTag(b *testing.B) {
	s := open(b, b.TempDir())
	plain := b.TempDir()
	b.Run("pages=10000", func(b *testing.B) {
		var ours, bare float64
		for range b.N {
			for i := range benchPages {
				fill(b, s, fmt.Sprintf("h/section%d/%d", i%10, i), string(page15K), "t")
				os.MkdirAll(filepath.Join(plain, fmt.Sprint(i%10)), 0o755)
				if err := os.WriteFile(filepath.Join(plain, fmt.Sprint(i%10), fmt.Sprint(i)), page15K, 0o644); err != nil {
					b.Fatal(err)
				}
			}
			ours += seconds(func() {
				if d := invalidate(b, s, byTag("t")); d.Pages != benchPages {
					b.Fatalf("dropped %+v", d)
				}
			})
			bare += seconds(func() {
				for i := range benchPages {
					os.Remove(filepath.Join(plain, fmt.Sprint(i%10), fmt.Sprint(i)))
				}
			})
		}
		b.ReportMetric(ours/float64(b.N)*1e3, "ms/tag")
		b.ReportMetric(bare/float64(b.N)*1e3, "ms/bare-loop")
		b.ReportMetric(ours/bare, "ratio")
	})
}

func BenchmarkInvalidatePrefix(b *testing.B) {
	s := open(b, b.TempDir())
	b.Run("pages=10000", func(b *testing.B) {
		var ours float64
		for range b.N {
			for i := range benchPages {
				fill(b, s, fmt.Sprintf("h/site/%d/%d", i%10, i), "x", "t")
			}
			ours += seconds(func() {
				if d := invalidate(b, s, byPrefix(b, "h/site")); d.Pages < benchPages {
					b.Fatalf("dropped %+v", d)
				}
			})
		}
		b.ReportMetric(ours/float64(b.N)*1e3, "ms/prefix")
	})
}

// BenchmarkMemoryPerPage reports bytes of memory for each page, held and not held in memory.
func BenchmarkMemoryPerPage(b *testing.B) {
	const n = 20_000
	for _, held := range []bool{true, false} {
		b.Run(fmt.Sprintf("held=%v", held), func(b *testing.B) {
			for range b.N {
				s := open(b, b.TempDir(), func(o *cache.Options) {
					if !held {
						o.MemoryBytes = 1
					}
				})
				before := heap()
				body := string(bytes.Repeat([]byte("x"), 2048))
				for i := range n {
					fill(b, s, fmt.Sprintf("h/section%d/%d", i%10, i), body, "t", fmt.Sprint("page:", i))
				}
				time.Sleep(100 * time.Millisecond) // what memory evicts, it evicts a little later
				after := heap()
				b.ReportMetric(float64(after-before)/n-map[bool]float64{true: 2048}[held], "B/page-beside-its-body")
				runtime.KeepAlive(s)
			}
		})
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkOpen opens a folder with many pages (CACHESRV_BENCH_PAGES, default 20,000; the goal speaks of 10⁶).
func BenchmarkOpen(b *testing.B) {
	n := 20_000
	fmt.Sscan(os.Getenv("CACHESRV_BENCH_PAGES"), &n)
	dir := b.TempDir()
	big := func(o *cache.Options) { o.MaxPages = int64(2 * n); o.MemoryBytes = 1 << 20; o.MinFree = 1 }
	func() {
		s := open(b, dir, big)
		defer s.Close()
		for i := range n {
			fill(b, s, fmt.Sprintf("h/section%d/%d", i%1000, i), "x", "t")
		}
	}()
	b.Run(fmt.Sprintf("pages=%d", n), func(b *testing.B) {
		var opened float64
		for range b.N {
			var s *cache.Store
			opened += seconds(func() {
				o := options(dir)
				big(&o)
				var err error
				if s, err = cache.Open(context.Background(), o); err == nil {
					err = s.Unfence(context.Background())
				}
				if err != nil {
					b.Fatal(err)
				}
			})
			want(b, s, "h/section7/7", "x")
			s.Close()
		}
		b.ReportMetric(opened/float64(b.N)*1e3, "ms/open")
	})
}

// seconds returns how long f took.
func seconds(f func()) float64 {
	start := time.Now()
	f()
	return time.Since(start).Seconds()
}
