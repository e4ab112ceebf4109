//! An embedded, in-memory Kubernetes API server for trying and testing.
