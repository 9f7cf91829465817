//! The service: the management API over a durable store, and its command line. See `ARCHITECTURE.md` for the map.

pub mod api;
pub mod cli;
pub mod config;
pub mod emulator;
pub mod gate;
pub mod live;
pub mod operator;
pub mod reference;
pub mod seed;
pub mod serve;
pub mod server_key;
pub mod signing_keys;
pub mod store;
pub mod tasks;
pub mod telemetry;
pub mod tls;
pub mod world;
