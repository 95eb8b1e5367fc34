// Command fieldgen makes event/fields.gen.go and docs/formats/fields.md from
// the comments of proto/event.proto. It reads a descriptor set with source
// info, so the comments and the fields they belong to cannot drift apart:
//
//	protoc -I proto --include_source_info --descriptor_set_out=set proto/event.proto
//	go run ./tools/fieldgen set
//
// Its output depends on nothing but its input. proto/generate.sh runs it.
package main

import (
	"fmt"
	"os"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: fieldgen descriptor-set (in the root of the repository)")
		os.Exit(2)
	}
	if err := generate(os.Args[1], "event/fields.gen.go", "docs/formats/fields.md"); err != nil {
		fmt.Fprintln(os.Stderr, "fieldgen:", err)
		os.Exit(1)
	}
}

// generate reads the descriptor set and writes both files.
func generate(set, code, page string) error {
	data, err := os.ReadFile(set)
	if err != nil {
		return fmt.Errorf("read descriptors: %w", err)
	}
	var files descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(data, &files); err != nil {
		return fmt.Errorf("read descriptors %s: %w", set, err)
	}
	t, err := read(&files)
	if err != nil {
		return err
	}
	source, err := t.code()
	if err != nil {
		return err
	}
	if err := os.WriteFile(code, source, 0o644); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	if err := os.WriteFile(page, t.page(), 0o644); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}
