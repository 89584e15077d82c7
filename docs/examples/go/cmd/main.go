// Command cmd counts the words of its arguments.
package main

import (
	"fmt"
	"os"
	"strings"

	"example.com/words"
)

func main() {
	fmt.Println(words.Count(strings.Join(os.Args[1:], " ")))
}
