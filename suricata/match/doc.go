// Package match evaluates one chain of a rule against one buffer: contents
// with their bounds, isdataat, byte_test, byte_jump, byte_extract, byte_math,
// bsize, pcre, base64_decode and lookups, in the order and with the
// retries of Suricata's content inspection.
//
// Evaluation is a pure function of the buffer and the State. A step is tried,
// then the steps after it; when those fail, a content or pcre is looked for
// again behind its last match if what follows it starts where it ended.
// Recursion is as deep as the chain is long; tries are counted and bounded.
package match
