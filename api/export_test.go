package api

import "net/http"

// RouteInfo is a route as tests see it.
type RouteInfo struct {
	Method, Path, Name, Role         string
	Open, Early, Local, Change, Live bool
}

// Routes lists the routes.
func Routes() []RouteInfo {
	var list []RouteInfo
	for _, r := range (&Server{}).table() {
		list = append(list, RouteInfo{r.method, r.path, r.name, string(r.role), r.open, r.early, r.local, r.change(), r.stream})
	}
	return list
}

// Handler is what both listeners serve.
func (s *Server) Handler() http.Handler { return s.handler }

// PeerContext is ConnContext of both listeners.
var PeerContext = peerContext

// WriteMetrics is the writer of Prometheus' format.
var WriteMetrics = writeMetrics

// Document is openapi.yaml.
var Document = document
