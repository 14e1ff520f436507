package conf

import (
	"net/url"

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
	text, err := yaml.MarshalWithOptions(c, yaml.WithComment(comments), yaml.IndentSequence(true))
	return string(text), err
}
