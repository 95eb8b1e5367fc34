package maglev

// Imbalance is how many times its share by weight the fullest backend has of
// a table: 1 is perfect.
func Imbalance(table []uint32, backends []Backend) float64 {
	count := map[uint32]int{}
	for _, index := range table {
		count[index]++
	}
	var total uint64
	for _, b := range backends {
		total += uint64(b.Weight)
	}
	worst := 0.0
	for _, b := range backends {
		if b.Weight > 0 {
			share := float64(len(table)) * float64(b.Weight) / float64(total)
			worst = max(worst, float64(count[b.Index])/share)
		}
	}
	return worst
}
