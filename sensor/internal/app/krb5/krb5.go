// Package krb5 reads Kerberos 5 (RFC 4120).
package krb5
