//! SRTP in place.
