//! The other half of every test here: clients that share no packet code with the server, and a network on virtual
//! time.

pub(crate) mod channels;
pub(crate) mod ice;
pub(crate) mod network;
pub(crate) mod peer;
pub(crate) mod random;
pub(crate) mod receive;
pub(crate) mod sdp;
pub(crate) mod secure;
pub(crate) mod send;
pub(crate) mod world;
