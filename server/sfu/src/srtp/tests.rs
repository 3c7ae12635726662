//! Published vectors, the oracle and hostile packets.
