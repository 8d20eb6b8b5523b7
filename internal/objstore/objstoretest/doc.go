// Package objstoretest holds the conformance suite that every object store passes, and runs the real S3 server that
// tests of it and of the archiver use.
package objstoretest
