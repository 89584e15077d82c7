package words

import (
	"fmt"
	"testing"
)

func TestCount(t *testing.T) {
	tests := map[string]struct {
		text string
		want int
	}{
		"nothing": {"", 0},
		"spaces":  {" a  flower ", 2},
		"hyphen":  {"a-flower", 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Count(test.text); got != test.want {
				t.Errorf("Count(%q) = %d, want %d", test.text, got, test.want)
			}
		})
	}
}

func TestLongText(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
}

func ExampleCount() {
	fmt.Println(Count("two words"))
	// Output: 2
}
