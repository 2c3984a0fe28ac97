//! The MQTT endpoint, over real sockets and a real data file.

mod acknowledging;
mod clients;
mod ending;
mod pressure;
mod raw;
mod refusing;
mod server;
mod sessions;
mod starting;
