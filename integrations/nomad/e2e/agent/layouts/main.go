// Prints every message of Nomad 1.6's protocol with drivers as its own code encodes it, every field filled: a line for each,
// its name and its bytes in hexadecimal. See tests/calls/protocol.rs, which keeps what was printed.
package main

import (
	"encoding/hex"
	"fmt"
	"sort"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "github.com/hashicorp/nomad/plugins/base/proto"
	_ "github.com/hashicorp/nomad/plugins/drivers/proto"
	_ "github.com/hashicorp/nomad/plugins/shared/structs/proto"
)

// Messages within messages; one of hclspec contains itself.
const depth = 5

// A value that says whose it is: by the field's number, and by how deep it lies.
func scalar(field protoreflect.FieldDescriptor, level int) protoreflect.Value {
	number := int64(field.Number())*10 + int64(level)
	switch field.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.EnumKind:
		values := field.Enum().Values()
		return protoreflect.ValueOfEnum(values.Get(values.Len() - 1).Number())
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(number))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(number)
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(number))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(uint64(number))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(number) + 0.5)
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(string(field.Name()))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(field.Name()))
	}
	panic(field.Kind().String())
}

func fill(message protoreflect.Message, level int) {
	fields := message.Descriptor().Fields()
	for i := 0; i < fields.Len(); i++ {
		field := fields.Get(i)
		nested := field.Message() != nil && !field.IsMap()
		if (nested || field.IsMap() && field.MapValue().Message() != nil) && level == depth {
			continue
		}
		switch {
		case field.IsMap():
			entries := message.Mutable(field).Map()
			value := entries.NewValue()
			if field.MapValue().Message() != nil {
				fill(value.Message(), level+1)
			} else {
				value = scalar(field.MapValue(), level)
			}
			entries.Set(protoreflect.ValueOfString("key").MapKey(), value)
		case field.IsList():
			list := message.Mutable(field).List()
			for n := 0; n < 2; n++ {
				value := list.NewElement()
				if nested {
					fill(value.Message(), level+1)
				} else {
					value = scalar(field, level)
				}
				list.Append(value)
			}
		case nested:
			fill(message.Mutable(field).Message(), level+1)
		default:
			message.Set(field, scalar(field, level))
		}
	}
}

func main() {
	var lines []string
	protoregistry.GlobalTypes.RangeMessages(func(kind protoreflect.MessageType) bool {
		name := string(kind.Descriptor().FullName())
		if strings.HasPrefix(name, "hashicorp.nomad.plugins.") && !kind.Descriptor().IsMapEntry() {
			message := kind.New()
			fill(message, 0)
			bytes, err := proto.MarshalOptions{Deterministic: true}.Marshal(message.Interface())
			if err != nil {
				panic(err)
			}
			lines = append(lines, strings.TrimPrefix(name, "hashicorp.nomad.plugins.")+" "+hex.EncodeToString(bytes))
		}
		return true
	})
	sort.Strings(lines)
	for _, line := range lines {
		fmt.Println(line)
	}
}
