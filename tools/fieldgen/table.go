package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/descriptorpb"
)

// table is what the comments of event.proto say.
type table struct {
	fields []*field // sorted by ECS name
	bodies []body   // in the order of the oneof
	enums  map[string]*descriptorpb.EnumDescriptorProto
}

type body struct{ name, goField, message string }

// field is one ECS name and the places its value may be in, first one first.
type field struct {
	ecs, kind string
	notes     []string
	sources   []source
	derived   *derivedField
}

// source is one protobuf field that holds a value.
type source struct {
	body  string // name in the oneof, "" for the envelope
	path  []string
	ocsf  string
	opts  options
	proto *descriptorpb.FieldDescriptorProto
	place string // Message.field
}

// options are the words of an annotation.
type options struct {
	ecs, ocsf, note        string
	ip, list, isTime, zero bool
	number                 bool
	words                  []string
	hidden                 bool
}

// parseOptions reads the trailing comment of a field. Without an annotation it
// returns nil.
func parseOptions(comment string) (*options, error) {
	spec, note, _ := strings.Cut(strings.TrimSpace(comment), "-- ")
	o := &options{note: strings.TrimSpace(note)}
	words := strings.Fields(spec)
	if len(words) == 0 || words[0] != "-" && !strings.HasPrefix(words[0], "ecs:") {
		return nil, nil
	}
	for _, w := range words {
		key, value, _ := strings.Cut(w, ":")
		switch key {
		case "ecs":
			o.ecs = value
		case "ocsf":
			o.ocsf = value
		case "words":
			o.words = strings.Split(value, ",")
		case "ip":
			o.ip = true
		case "list":
			o.list = true
		case "time":
			o.isTime = true
		case "number":
			o.number = true
		case "zero":
			o.zero = true
		case "-":
			o.hidden = true
		default:
			return nil, fmt.Errorf("unknown word %q", w)
		}
	}
	if !o.hidden && (o.ecs == "" || o.ocsf == "") {
		return nil, errors.New("wants both an ecs: and an ocsf: word")
	}
	if o.words != nil && len(o.words) != 2 {
		return nil, errors.New("words: wants two, for false and true")
	}
	return o, nil
}

// reader walks the descriptors.
type reader struct {
	table    *table
	messages map[string]*descriptorpb.DescriptorProto
	comments map[string]string // "Message.field" -> trailing comment
	byName   map[string]*field
	errs     []error
}

// read finds every annotated field that an event can hold.
func read(files *descriptorpb.FileDescriptorSet) (*table, error) {
	r := &reader{
		table:    &table{enums: map[string]*descriptorpb.EnumDescriptorProto{}},
		messages: map[string]*descriptorpb.DescriptorProto{},
		comments: map[string]string{},
		byName:   map[string]*field{},
	}
	for _, file := range files.File {
		r.index(file)
	}
	if r.messages["Event"] == nil || r.messages["Host"] == nil {
		return nil, errors.New("no message Event and Host: is this event.proto?")
	}
	for _, f := range r.messages["Event"].Field {
		if f.OneofIndex != nil {
			b := body{f.GetName(), camel(f.GetName()), messageName(f)}
			r.table.bodies = append(r.table.bodies, b)
			r.message(b.name, []string{"Body:" + b.goField}, b.message)
		}
	}
	r.message("", []string{"Event", "Process"}, "Process")
	for _, f := range r.messages["Event"].Field {
		if f.OneofIndex == nil && f.GetType() == descriptorpb.FieldDescriptorProto_TYPE_ENUM {
			r.leaf("", []string{"Event"}, "Event", f)
		}
	}
	r.message("", []string{"Host"}, "Host")
	r.derive()
	slices.SortFunc(r.table.fields, func(a, b *field) int { return strings.Compare(a.ecs, b.ecs) })
	return r.table, errors.Join(r.errs...)
}

func (r *reader) index(file *descriptorpb.FileDescriptorProto) {
	for _, m := range file.MessageType {
		r.messages[m.GetName()] = m
	}
	for _, e := range file.EnumType {
		r.table.enums[e.GetName()] = e
	}
	const messageType, fieldOf = 4, 2 // numbers in FileDescriptorProto and DescriptorProto
	for _, l := range file.GetSourceCodeInfo().GetLocation() {
		if p := l.Path; len(p) == 4 && p[0] == messageType && p[2] == fieldOf {
			m := file.MessageType[p[1]]
			r.comments[m.GetName()+"."+m.Field[p[3]].GetName()] = l.GetTrailingComments()
		}
	}
}

func messageName(f *descriptorpb.FieldDescriptorProto) string {
	return f.GetTypeName()[strings.LastIndexByte(f.GetTypeName(), '.')+1:]
}

// message reads the fields of a message found at path.
func (r *reader) message(body string, path []string, name string) {
	for _, f := range r.messages[name].Field {
		r.leaf(body, path, name, f)
	}
}

// leaf reads one field, and the fields below it when it is a message.
func (r *reader) leaf(body string, path []string, message string, f *descriptorpb.FieldDescriptorProto) {
	place := message + "." + f.GetName()
	o, err := parseOptions(r.comments[place])
	isMessage := f.GetType() == descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
	isMap := isMessage && strings.HasSuffix(messageName(f), "Entry")
	repeated := f.GetLabel() == descriptorpb.FieldDescriptorProto_LABEL_REPEATED
	switch {
	case err != nil:
		r.errs = append(r.errs, fmt.Errorf("%s: %w", place, err))
		return
	case o != nil && o.hidden:
		return
	case isMessage && !isMap:
		step := camel(f.GetName())
		if repeated {
			step += "[0]"
		}
		r.message(body, append(slices.Clone(path), step), messageName(f))
		return
	case o == nil:
		r.errs = append(r.errs, fmt.Errorf("%s: no annotation (ecs: and ocsf:, or -)", place))
		return
	}
	kind := kindOf(f, o, repeated, isMap)
	if kind == "" {
		r.errs = append(r.errs, fmt.Errorf("%s: type %s cannot be a searchable field", place, f.GetType()))
		return
	}
	r.add(o.ecs, kind, o.note, source{body, append(slices.Clone(path), camel(f.GetName())), o.ocsf, *o, f, place})
}

func (r *reader) add(ecs, kind, note string, s source) {
	f := r.byName[ecs]
	if f == nil {
		f = &field{ecs: ecs, kind: kind}
		r.byName[ecs] = f
		r.table.fields = append(r.table.fields, f)
	}
	if f.kind != kind {
		r.errs = append(r.errs, fmt.Errorf("%s: %s is %s here and %s elsewhere", s.place, ecs, kind, f.kind))
	}
	for _, old := range f.sources {
		if old.body == s.body {
			r.errs = append(r.errs, fmt.Errorf("%s: %s is %s already", s.place, ecs, old.place))
		}
	}
	f.sources = append(f.sources, s)
	if note != "" && !slices.Contains(f.notes, note) {
		f.notes = append(f.notes, note)
	}
}

// derive adds the fields of the list derived.
func (r *reader) derive() {
	for i := range derived {
		d := &derived[i]
		f := r.byName[d.ecs]
		if f == nil {
			f = &field{ecs: d.ecs, kind: d.kind}
			r.byName[d.ecs] = f
			r.table.fields = append(r.table.fields, f)
		}
		if f.kind != d.kind {
			r.errs = append(r.errs, fmt.Errorf("derived %s is %s here and %s elsewhere", d.ecs, d.kind, f.kind))
		}
		f.derived = d
		if !slices.Contains(f.notes, d.note) {
			f.notes = append(f.notes, d.note)
		}
	}
}

// kindOf gives the name of the event.Kind of a field, "" if it has none.
func kindOf(f *descriptorpb.FieldDescriptorProto, o *options, repeated, isMap bool) string {
	type protoType = descriptorpb.FieldDescriptorProto_Type
	t := f.GetType()
	isText := t == descriptorpb.FieldDescriptorProto_TYPE_BYTES || t == descriptorpb.FieldDescriptorProto_TYPE_STRING
	isInt := slices.Contains([]protoType{descriptorpb.FieldDescriptorProto_TYPE_INT32, descriptorpb.FieldDescriptorProto_TYPE_INT64,
		descriptorpb.FieldDescriptorProto_TYPE_SINT32, descriptorpb.FieldDescriptorProto_TYPE_SINT64}, t)
	isUint := t == descriptorpb.FieldDescriptorProto_TYPE_UINT32 || t == descriptorpb.FieldDescriptorProto_TYPE_UINT64
	switch {
	case isMap:
		return "Map"
	case isText && (repeated || o.list):
		return "List"
	case repeated:
		return ""
	case isText && o.ip:
		return "IP"
	case isText:
		return "Text"
	case isInt && o.isTime:
		return "Time"
	case isInt:
		return "Int"
	case isUint:
		return "Uint"
	case t == descriptorpb.FieldDescriptorProto_TYPE_BOOL && o.words != nil:
		return "Enum"
	case t == descriptorpb.FieldDescriptorProto_TYPE_BOOL:
		return "Bool"
	case t == descriptorpb.FieldDescriptorProto_TYPE_ENUM && o.number:
		return "Uint"
	case t == descriptorpb.FieldDescriptorProto_TYPE_ENUM:
		return "Enum"
	}
	return ""
}

// camel gives the Go name protoc-gen-go makes of a field's name: a letter at
// the beginning, after '_' or after a digit is upper case.
func camel(name string) string {
	var b strings.Builder
	begins := true
	for _, c := range []byte(name) {
		switch {
		case c == '_':
			begins = true
			continue
		case begins && c >= 'a' && c <= 'z':
			c -= 'a' - 'A'
		}
		b.WriteByte(c)
		begins = c >= '0' && c <= '9'
	}
	return b.String()
}
