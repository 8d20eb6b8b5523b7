//go:build !race

package archiver

const stride = 1
