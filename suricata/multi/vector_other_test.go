//go:build !amd64

package multi

func withoutVector() (restore func()) { return func() {} }
