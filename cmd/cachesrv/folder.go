package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/cachesrv/cachesrv/cache"
)

// withFolder calls do with the store of a folder that exists, for looking into it and dropping from it: a store that
// never serves, evicts or sweeps. A missing folder is an error; a mistyped --dir must not pass for an empty cache.
func (p *program) withFolder(ctx context.Context, dir string, do func(*cache.Store) error) error {
	folder := filepath.Join(dir, "cache")
	switch st, err := os.Stat(folder); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: no cache folder is there: name the site's folder with --dir (or CACHESRV_DIR)", folder)
	case err != nil:
		return fmt.Errorf("%w: name the site's folder with --dir (or CACHESRV_DIR)", err)
	case !st.IsDir():
		return fmt.Errorf("%s: it is not a folder: name the site's folder with --dir (or CACHESRV_DIR)", folder)
	}
	store, err := cache.Open(ctx, cache.Options{
		Dir: dir, Logger: p.log, SweepInterval: -1,
		MaxBytes: math.MaxInt64, MaxPages: math.MaxInt64, MinFree: 1, MemoryBytes: 1,
	})
	if err != nil {
		return err
	}
	err = do(store)
	return errors.Join(err, store.Close())
}
