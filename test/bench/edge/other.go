//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: this one wants Linux: it pins processes to cores, and reads /proc")
	os.Exit(1)
}
