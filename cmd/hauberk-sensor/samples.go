package main

import (
	"embed"
	"errors"
	"io/fs"
	"os"
)

//go:embed samples
var samples embed.FS

// dumpSamples writes the samples to the current folder. Files that are there stay.
func dumpSamples(say func(string, ...any)) error {
	return fs.WalkDir(samples, "samples", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := samples.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := os.OpenFile(d.Name(), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if errors.Is(err, fs.ErrExist) {
			say("%s is there already", d.Name())
			return nil
		}
		if err != nil {
			return err
		}
		_, err = f.Write(text)
		say("wrote %s", d.Name())
		return errors.Join(err, f.Close())
	})
}
