//! The media plane from outside: whole clients against a [`sfu::Shard`], no sockets, virtual time.

mod bandwidth;
mod call;
mod chaos;
mod codecs;
mod counters;
mod data;
mod dual;
mod feedback;
mod handshake;
mod harness;
mod harness_itself;
mod hold;
mod hostile;
mod isolation;
mod loss;
mod loudest;
mod phone;
mod restart;
mod simulcast;
mod subscription;
mod svc;
mod temporal;
