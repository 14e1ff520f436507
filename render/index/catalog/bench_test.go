package catalog

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cachesrv/cachesrv/render/index/sample"
)

func benchmark(b *testing.B, open func(b *testing.B) *base) {
	b.Run("Project, 50 releases", func(b *testing.B) {
		c := open(b).catalog(b)
		for i := range 50 {
			add(b, c, Operator("ada"), wheel("tea", fmt.Sprintf("1.%d", i)))
		}
		b.ResetTimer()
		for b.Loop() {
			p, err := c.Project(b.Context(), "tea")
			if err != nil || len(p.Releases) != 50 {
				b.Fatal(err)
			}
		}
	})
	b.Run("Projects, 10,000", func(b *testing.B) {
		c := open(b).catalog(b)
		tx, err := c.db.begin(b.Context())
		must(b, err)
		for i := range 10_000 {
			_, err := tx.exec(b.Context(), `INSERT INTO index_project (normal, name, serial, added, created, version, summary, search_text, updated)
				VALUES ($1, $1, $2, $2, 0, '1', 'About', $1, 0)`, fmt.Sprintf("project-%d", i), int64(i))
			must(b, err)
		}
		must(b, tx.commit(b.Context()))
		b.Run("list", func(b *testing.B) {
			for b.Loop() {
				l, err := c.Projects(b.Context())
				if err != nil || len(l.Projects) != 10_000 {
					b.Fatal(err)
				}
			}
		})
		b.Run("search", func(b *testing.B) {
			for b.Loop() {
				f, err := c.Search(b.Context(), "project-77", 20, 0)
				if err != nil || f.Total != 111 {
					b.Fatal(f.Total, err)
				}
			}
		})
	})
	b.Run("Add, 15 KB", func(b *testing.B) {
		c := open(b).catalog(b)
		random := bytes.Repeat([]byte("x"), 15<<10)
		source := rand.NewChaCha8([32]byte{})
		n := 0
		for b.Loop() {
			b.StopTimer()
			_, _ = source.Read(random)
			x := wheel(fmt.Sprintf("p%d", n%100), fmt.Sprintf("1.%d", n), func(d *sample.Dist) {
				d.Modules = map[string]string{"p.py": fmt.Sprintf("%x", random[:7<<10])}
			})
			n++
			b.StartTimer()
			add(b, c, Operator("ada"), x)
		}
	})
	b.Run("Add again", func(b *testing.B) {
		c := open(b).catalog(b)
		x := wheel("tea", "1")
		add(b, c, Operator("ada"), x)
		for b.Loop() {
			add(b, c, Operator("ada"), x)
		}
	})
	b.Run("Authenticate", func(b *testing.B) {
		c := open(b).catalog(b)
		must(b, c.AddUser(b.Context(), "ada"))
		_, secret, err := c.AddToken(b.Context(), Token{User: "ada", Scope: ScopeUpload})
		must(b, err)
		for b.Loop() {
			if _, err := c.Authenticate(b.Context(), "__token__", secret); err != nil {
				b.Fatal(err)
			}
		}
	})
}
