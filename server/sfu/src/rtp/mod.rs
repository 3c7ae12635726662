//! Views over RTP and RTCP bytes.
