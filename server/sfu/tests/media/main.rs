//! The media plane from outside: whole clients against a [`sfu::Shard`], no sockets, virtual time.

mod call;
mod handshake;
mod harness;
mod harness_itself;
mod restart;
