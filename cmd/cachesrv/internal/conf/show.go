package conf

import (
	"encoding/json"
	"net/url"
	"regexp"

	"github.com/goccy/go-yaml"
)

// Show returns the configuration as YAML that Read accepts, each setting with a comment that says where it comes from:
// origin is asked by key. A password in the database's URL is replaced by "xxxxx".
func Show(c Config, origin func(key string) string) (string, error) {
	if u, err := url.Parse(c.DB); err == nil && u.User != nil {
		c.DB = u.Redacted()
	}
	comments := yaml.CommentMap{}
	for _, s := range Settings() {
		comment := yaml.LineComment(" " + origin(s.Key))
		if s.isList() { // a line comment would stand between the key and an empty list
			comment = yaml.HeadComment(comment.Texts...)
		}
		comments["$."+s.Key] = []*yaml.Comment{comment}
	}
	text, err := yaml.MarshalWithOptions(c, yaml.WithComment(comments), yaml.IndentSequence(true), yaml.CustomMarshaler(scalar))
	return string(text), err
}

// plainScalar is what stands in YAML without quotes, unless it is a word of YAML's own: the library leaves more, like "?" and
// ".inf", and reads it as something else.
var plainScalar = regexp.MustCompile(`^[A-Za-z0-9/]([A-Za-z0-9./_@+-]|:[A-Za-z0-9/]| [A-Za-z0-9])*$`)

func scalar(s string) ([]byte, error) {
	if plainScalar.MatchString(s) {
		return yaml.Marshal(s)
	}
	return json.Marshal(s)
}
