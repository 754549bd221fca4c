// SPDX-License-Identifier: MIT
//! Rank 5: everything that knows HestiaCP: where it keeps what ([`layout`]), its configuration
//! files ([`conf`]), its users and what belongs to them ([`inventory`]), the words by which parts
//! of a user are chosen ([`select`]), its tarballs ([`tarballs`], [`tarball_in`],
//! [`tarball_out`]), its commands ([`call`]), a process that acts as a user ([`asuser`]), our
//! settings ([`settings`]), the server's repository ([`setup`]), and the jobs made of all that
//! ([`jobs`]).

pub mod asuser;
pub mod call;
pub mod conf;
pub mod inventory;
pub mod jobs;
pub mod layout;
pub mod paths;
pub mod select;
pub mod settings;
pub mod setup;
pub mod tarball_in;
pub mod tarball_out;
pub mod tarballs;
pub mod userlock;

pub use call::{Call, Caller, Outcome};
pub use inventory::{Inventory, User};
pub use layout::{Hestia, UserName};
pub use select::Sections;
pub use settings::Settings;
