package cache

import "context"

type snapshotKey struct{}

// MarkSnapshot returns a context that says: a snapshot of the database was taken, by what. A fill begun under it would
// store what was read before its claim; the middleware sees the mark and stores nothing.
func MarkSnapshot(ctx context.Context, what string) context.Context {
	return context.WithValue(ctx, snapshotKey{}, what)
}

// SnapshotMark returns what took a snapshot above this context, if anything did.
func SnapshotMark(ctx context.Context) (what string, ok bool) {
	what, ok = ctx.Value(snapshotKey{}).(string)
	return what, ok
}
