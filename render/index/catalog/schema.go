package catalog

import (
	"context"
	"errors"
	"fmt"
	"regexp"
)

// schema has the steps from nothing to the current tables; their version is the number of steps done.
//
// Names are the keys: normal is a project's normalised name, version a release's canonical version. added is the serial
// of the change that made a row, which orders rows where clocks can't.
//
// index_state is one row: the serial of the last change, whose lock makes writers queue; the totals, which would take
// long to count; and the index's id (see pair.go). A project repeats what lists show of its latest release; search_text
// is what a search looks through, in lower case. index_gone has the names of deleted files. index_change is the journal:
// what happened, in order, for feeds and mirrors.
var schema = []string{`
CREATE TABLE index_state (
	one      bigint NOT NULL PRIMARY KEY CHECK (one = 1),
	version  bigint NOT NULL,
	serial   bigint NOT NULL,
	projects bigint NOT NULL,
	releases bigint NOT NULL,
	files    bigint NOT NULL,
	bytes    bigint NOT NULL,
	id       text NOT NULL
);
INSERT INTO index_state VALUES (1, 0, 0, 0, 0, 0, 0, '');
CREATE TABLE index_project (
	normal      text NOT NULL PRIMARY KEY,
	name        text NOT NULL,
	serial      bigint NOT NULL,
	added       bigint NOT NULL,
	created     bigint NOT NULL,
	version     text NOT NULL,
	summary     text NOT NULL,
	search_text text NOT NULL,
	updated     bigint NOT NULL
);
CREATE INDEX index_project_added ON index_project (added);
CREATE TABLE index_release (
	project       text NOT NULL,
	version       text NOT NULL,
	added         bigint NOT NULL,
	created       bigint NOT NULL,
	yanked        bigint NOT NULL,
	yanked_reason text NOT NULL,
	summary       text NOT NULL,
	search_text   text NOT NULL,
	metadata      text NOT NULL,
	PRIMARY KEY (project, version)
);
CREATE INDEX index_release_added ON index_release (added);
CREATE TABLE index_file (
	filename        text NOT NULL PRIMARY KEY,
	project         text NOT NULL,
	version         text NOT NULL,
	kind            text NOT NULL,
	python          text NOT NULL,
	size            bigint NOT NULL,
	sha256          text NOT NULL,
	md5             text NOT NULL,
	blake2b         text NOT NULL,
	uploaded        bigint NOT NULL,
	uploader        text NOT NULL,
	requires_python text NOT NULL,
	metadata_sha256 text NOT NULL
);
CREATE INDEX index_file_release ON index_file (project, version);
CREATE TABLE index_gone (
	filename text NOT NULL PRIMARY KEY,
	project  text NOT NULL,
	serial   bigint NOT NULL
);
CREATE TABLE index_user (
	name    text NOT NULL PRIMARY KEY,
	created bigint NOT NULL
);
CREATE TABLE index_role (
	project   text NOT NULL,
	user_name text NOT NULL,
	owner     bigint NOT NULL,
	PRIMARY KEY (project, user_name)
);
CREATE INDEX index_role_user ON index_role (user_name, project);
CREATE TABLE index_token (
	id        text NOT NULL PRIMARY KEY,
	hash      text NOT NULL UNIQUE,
	user_name text NOT NULL,
	scope     text NOT NULL,
	projects  text NOT NULL,
	note      text NOT NULL,
	created   bigint NOT NULL,
	expires   bigint NOT NULL
);
CREATE INDEX index_token_user ON index_token (user_name);
CREATE TABLE index_change (
	serial   bigint NOT NULL,
	part     bigint NOT NULL,
	project  text NOT NULL,
	version  text NOT NULL,
	filename text NOT NULL,
	action   text NOT NULL,
	who      text NOT NULL,
	at       bigint NOT NULL,
	PRIMARY KEY (serial, part)
);
CREATE INDEX index_change_project ON index_change (project, serial);
`}

func schemaVersion(ctx context.Context, q queryer) (int, error) {
	var version int64
	if err := get(ctx, q, "SELECT version FROM index_state", nil, &version); err != nil {
		if errors.Is(err, errNoRow) {
			err = errors.New("the row of index_state is gone: restore the database")
		}
		return 0, err
	}
	if version > int64(len(schema)) {
		return 0, fmt.Errorf("%w: they have version %d, this program knows %d: update the program", ErrTooNew, version, len(schema))
	}
	return int(version), nil
}

var textType = regexp.MustCompile(`\btext NOT NULL`)

// bringUp does the steps that are missing. textColumn is the type of texts that are compared by their bytes.
func bringUp(ctx context.Context, q queryer, version int, textColumn string) error {
	for ; version < len(schema); version++ {
		if _, err := q.exec(ctx, textType.ReplaceAllLiteralString(schema[version], textColumn+" NOT NULL")); err != nil {
			return fmt.Errorf("to version %d: %w", version+1, err)
		}
		if _, err := q.exec(ctx, "UPDATE index_state SET version = $1", int64(version+1)); err != nil {
			return err
		}
	}
	return nil
}
