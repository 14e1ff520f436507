package conf

import "strings"

// Flags are what the next command needs to find the same folder, as one would type them: messages that name a command
// end in them.
func (f Folder) Flags() string { return "--dir " + shellWord(f.Dir) }

// SiteFlags are Folder.Flags for commands that need the database, too. Its URL may have a password in it: it is not
// repeated.
func SiteFlags(f Folder, d Database) string {
	if d.DB == "sqlite" {
		return f.Flags()
	}
	return f.Flags() + " --db URL"
}

// shellWord writes a word as a shell reads it.
func shellWord(word string) string {
	odd := strings.ContainsFunc(word, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._/:@,+", r)
	})
	if word != "" && !odd {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
