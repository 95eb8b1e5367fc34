package api

import (
	_ "embed"
	"net/http"
)

// document is the OpenAPI 3.1 description of every operation.
//
//go:embed openapi.yaml
var document []byte

func (s *Server) getDocument(c *call) error {
	c.w.Header().Set("Content-Type", "application/yaml")
	c.w.WriteHeader(http.StatusOK)
	c.w.Write(document) // a client that is gone needs no answer
	return nil
}
