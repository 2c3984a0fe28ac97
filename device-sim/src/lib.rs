//! A seeded fleet of devices that publishes over MQTT, recorded series that go in the same way, and the oracle that
//! checks what a pipeline made of it.
//!
//! * [`run`] makes load: realistic metrics, and faults with labels.
//! * [`replay`] sends CSV files.
//! * [`verify`] holds the resulting lake of Parquet files against the [`ledger`] of what was sent.
//!
//! The crate knows nothing of the pipeline but the columns of its lake.

pub mod cli;
mod client;
mod error;
mod files;
mod fleet;
pub mod ledger;
mod load;
pub mod message;
pub mod replay;
pub mod report;
pub mod run;
pub mod verify;

pub use client::{Address, Mqtt, Qos, Target};
pub use error::SimError;
pub use fleet::{Faults, FleetOptions, messages};
