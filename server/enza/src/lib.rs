//! The program around the rooms: sockets, threads, clocks, TLS, HTTP and the command line. The only crate with
//! tokio, axum and `Instant::now`; what a room does is decided in `signal`, what a packet does in `sfu`.
//!
//! | owner | file | state |
//! |---|---|---|
//! | one task per WebSocket | `session.rs` | the socket and its limits |
//! | one task per circle socket | `circle_session.rs` | the socket and its limits |
//! | one task per live room | `room.rs` | [`signal::Room`], [`circle::Room`] and their connections' outboxes |
//! | one task | `rooms.rs` | which rooms live |
//! | two tasks | `attempts.rs` | who tried wrong invites; who made rooms |
//! | four tasks per webhook URL | `webhook.rs` | the events on their way |
//! | one task | `readiness.rs` | whether the database takes writes |
//! | one task | `pace.rs` | what there was to count ten seconds ago |
//! | one thread | `media/` | [`sfu::Shard`] and the UDP socket |
//!
//! It is a library too, so that tests run the real server inside their own process.

mod attempts;
mod backup;
pub mod catalogue;
pub mod check;
mod circle_session;
pub mod cli;
pub mod config;
pub mod data_folder;
mod doctor;
pub mod health;
mod http;
mod ice_servers;
mod install;
mod listen;
pub mod logs;
mod media;
mod metrics;
pub mod notice;
pub mod notify;
mod operate;
mod operator_key;
mod origin;
mod outside;
mod pace;
mod passphrase;
mod readiness;
mod retention;
mod room;
mod rooms;
mod running;
pub mod server;
mod session;
pub mod start_error;
mod tls;
pub mod token;
mod webhook;
pub mod welcome;
