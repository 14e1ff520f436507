package catalog

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/cachesrv/cachesrv/render/index/dist"
)

// Found is a page of search results: exact name first, then names that begin with the query, that contain it, then
// projects whose name, summary and keywords together contain all its words. Equal ones are in the order of names.
type Found struct {
	Total   int
	Results []Update
}

// Bounds of a query; what is beyond them is ignored.
const (
	mostQuery = 200 // bytes
	mostWords = 8
)

// Search looks for projects. Upper and lower case are the same, as are the spellings of a name. An empty query finds
// all. limit is 1 to 1,000. The latest release of a project is searched and shown.
//
// A search reads every project: at most 4 run at once, on at most half of the database's connections, so that pages are
// still rendered; one more waits. ErrBusy if all that takes longer than 5 s.
func (c *Catalog) Search(ctx context.Context, query string, limit, offset int) (*Found, error) {
	words := searchWords(query)
	normal := dist.Normalize(strings.Join(words, "-"))
	args := a(normal, like("", normal), like("%", normal))
	var texts []string
	for _, w := range words {
		args = append(args, like("%", w))
		texts = append(texts, fmt.Sprintf(`search_text LIKE $%d ESCAPE '!'`, len(args)))
	}
	where := ` WHERE normal LIKE $3 ESCAPE '!'`
	if len(texts) > 0 {
		where += " OR " + strings.Join(texts, " AND ")
	}
	// What the first two arguments find, the third finds, too: they are in the count only because PostgreSQL wants to know
	// of which type every argument is.
	count := "SELECT count(*) FROM index_project" + where + " OR normal = $1 OR normal LIKE $2 ESCAPE '!'"
	page := fmt.Sprintf(`SELECT name, normal, version, summary, updated FROM index_project%s
		ORDER BY CASE WHEN normal = $1 THEN 0 WHEN normal LIKE $2 ESCAPE '!' THEN 1 WHEN normal LIKE $3 ESCAPE '!' THEN 2 ELSE 3 END, normal
		LIMIT $%d OFFSET $%d`, where, len(args)+1, len(args)+2)

	whole := ctx
	ctx, cancel := context.WithTimeout(ctx, searchTimeout)
	defer cancel()
	select {
	case c.searching <- struct{}{}:
		defer func() { <-c.searching }()
	case <-ctx.Done():
		return nil, fmt.Errorf("search %q: %w", query, searchEnded(whole, ctx.Err()))
	}
	var found Found
	err := c.db.read(ctx, func(q queryer) (err error) {
		var total int64
		if err := get(ctx, q, count, args, &total); err != nil {
			return err
		}
		found.Total = int(total)
		limit, offset := int64(min(max(limit, 1), mostListed)), int64(max(offset, 0))
		found.Results, err = list(ctx, q, scanUpdate, page, append(args, limit, offset)...)
		return err
	})
	if err != nil {
		if ctx.Err() != nil {
			err = searchEnded(whole, err)
		}
		return nil, fmt.Errorf("search %q: %w", query, err)
	}
	return &found, nil
}

// searchEnded is the error of a search whose time is over: ErrBusy, unless whoever asked ended it.
func searchEnded(whole context.Context, err error) error {
	if ended := whole.Err(); ended != nil {
		return ended
	}
	return fmt.Errorf("%w: it found no answer within %v: too many searches at the moment: %w", ErrBusy, searchTimeout, err)
}

// searchWords takes a query apart: lower case, as search_text is.
func searchWords(query string) []string {
	if len(query) > mostQuery {
		query = query[:mostQuery]
	}
	query = strings.ReplaceAll(strings.ToValidUTF8(query, ""), "\x00", "")
	words := strings.Fields(strings.ToLower(query))
	return words[:min(len(words), mostWords)]
}

// searchText is what the words are looked for in. The databases compare bytes: whatever has a case was lowered here.
func searchText(normal, name, summary string, keywords []string) string {
	text := strings.ToLower(normal + " " + name + " " + summary + " " + strings.Join(keywords, " "))
	const most = 4096
	if len(text) > most {
		text = text[:most]
		for !utf8.ValidString(text) {
			text = text[:len(text)-1]
		}
	}
	return text
}

// like is a pattern for what begins with text (lead "") or contains it ("%").
func like(lead, text string) string {
	return lead + strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(text) + "%"
}
