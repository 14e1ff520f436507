package indextest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"strconv"
	"strings"

	"golang.org/x/net/html"
)

// A Page is one of the simple API, in whatever form it came.
type Page struct {
	Serial   int64    // of the last change to what it shows
	Projects []Listed // of the list of projects
	Name     string   // of a project's page; in HTML it isn't told
	Versions []string // JSON only
	Files    []Entry
}

// Listed is a project in the list.
type Listed struct {
	Name   string
	Serial int64 // JSON only
}

// An Entry is a file on a project's page.
type Entry struct {
	Filename       string
	URL            string // without fragment
	SHA256         string
	RequiresPython string
	Yanked         *string // the reason; nil: it isn't
	Metadata       string  // digest of FILE.metadata, "sha256=…" ; empty: there is none
	Size           int64   // JSON only
}

// Find returns the entry of a file, or nil.
func (p *Page) Find(filename string) *Entry {
	if p == nil {
		return nil
	}
	for i := range p.Files {
		if p.Files[i].Filename == filename {
			return &p.Files[i]
		}
	}
	return nil
}

// Parse reads a page. What makes it no whole page of the API is an error.
func Parse(contentType string, body []byte) (*Page, error) {
	form, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, fmt.Errorf("Content-Type %q: %w", contentType, err)
	}
	switch form {
	case JSON:
		return parseJSON(body)
	case HTML, HTMLv1:
		return parseHTML(body)
	}
	return nil, fmt.Errorf("Content-Type %q is no form of the simple API", contentType)
}

func parseJSON(body []byte) (*Page, error) {
	var v struct {
		Meta struct {
			APIVersion string `json:"api-version"`
			LastSerial int64  `json:"_last-serial"`
		} `json:"meta"`
		Name     string   `json:"name"`
		Versions []string `json:"versions"`
		Projects []struct {
			Name       string `json:"name"`
			LastSerial int64  `json:"_last-serial"`
		} `json:"projects"`
		Files []struct {
			Filename         string            `json:"filename"`
			URL              string            `json:"url"`
			Hashes           map[string]string `json:"hashes"`
			RequiresPython   string            `json:"requires-python"`
			Size             int64             `json:"size"`
			UploadTime       string            `json:"upload-time"`
			Yanked           any               `json:"yanked"`
			CoreMetadata     any               `json:"core-metadata"`
			DataDistInfoMeta any               `json:"data-dist-info-metadata"`
		} `json:"files"`
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return nil, fmt.Errorf("%w in %.200q", err, body)
	}
	if !strings.HasPrefix(v.Meta.APIVersion, "1.") {
		return nil, fmt.Errorf("api-version %q", v.Meta.APIVersion)
	}
	p := &Page{Serial: v.Meta.LastSerial, Name: v.Name, Versions: v.Versions}
	for _, l := range v.Projects {
		p.Projects = append(p.Projects, Listed{l.Name, l.LastSerial})
	}
	for _, f := range v.Files {
		e := Entry{Filename: f.Filename, URL: f.URL, SHA256: f.Hashes["sha256"], RequiresPython: f.RequiresPython, Size: f.Size}
		switch y := f.Yanked.(type) {
		case string:
			e.Yanked = &y
		case bool:
			if y {
				e.Yanked = new(string)
			}
		}
		if m, ok := f.CoreMetadata.(map[string]any); ok {
			e.Metadata = fmt.Sprintf("sha256=%v", m["sha256"])
		}
		if fmt.Sprint(f.CoreMetadata) != fmt.Sprint(f.DataDistInfoMeta) {
			return nil, fmt.Errorf("%s: core-metadata %v, data-dist-info-metadata %v", f.Filename, f.CoreMetadata, f.DataDistInfoMeta)
		}
		p.Files = append(p.Files, e)
	}
	return p, nil
}

func parseHTML(body []byte) (*Page, error) {
	p := &Page{Serial: -1}
	var anchor *html.Token
	closed := false
	for z := html.NewTokenizer(bytes.NewReader(body)); ; {
		kind := z.Next()
		token := z.Token()
		switch {
		case kind == html.ErrorToken:
			if err := z.Err(); !errors.Is(err, io.EOF) {
				return nil, err
			}
			if !closed || p.Serial < 0 {
				return nil, fmt.Errorf("no </html> and serial at the end of %.200q", body)
			}
			return p, nil
		case kind == html.StartTagToken && token.Data == "a":
			anchor = &token
		case kind == html.EndTagToken && token.Data == "html":
			closed = true
		case kind == html.TextToken && anchor != nil:
			p.add(anchor, token.Data)
			anchor = nil
		case kind == html.CommentToken && closed:
			n, ok := strings.CutPrefix(token.Data, "SERIAL ")
			if serial, err := strconv.ParseInt(n, 10, 64); ok && err == nil {
				p.Serial = serial
			}
		}
	}
}

func (p *Page) add(anchor *html.Token, text string) {
	e := Entry{Filename: text}
	for _, a := range anchor.Attr {
		switch a.Key {
		case "href":
			if strings.HasPrefix(a.Val, "/simple/") {
				p.Projects = append(p.Projects, Listed{Name: text})
				return
			}
			e.URL, e.SHA256, _ = strings.Cut(a.Val, "#sha256=")
		case "data-requires-python":
			e.RequiresPython = a.Val
		case "data-yanked":
			e.Yanked = &a.Val
		case "data-core-metadata":
			e.Metadata = a.Val
		}
	}
	p.Files = append(p.Files, e)
}
