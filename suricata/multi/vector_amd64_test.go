package multi

// withoutVector switches the vector code off until the result is called.
func withoutVector() (restore func()) {
	was := vector
	vector = false
	return func() { vector = was }
}
