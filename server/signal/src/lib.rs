//! LiveKit signalling, sans-I/O.
