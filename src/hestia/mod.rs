// SPDX-License-Identifier: MIT
//! Rank 5: everything that knows HestiaCP: where it keeps what ([`layout`]), its configuration
//! files ([`conf`], [`excludes`]), its users and what belongs to them ([`inventory`],
//! [`objects`]), the words by which parts of a user are chosen ([`select`]), its tarballs
//! ([`tarballs`], [`tarball_in`], [`tarball_out`]), live users ([`direct`]) with their databases
//! ([`database`], [`dump`], [`dump_text`], [`mod@import`]), its commands ([`call`]), a process
//! that acts as a user ([`asuser`]), our settings ([`settings`]), repositories with a name
//! ([`named`]), making and opening them ([`setup`]), the jobs made of all that ([`jobs`]), and the
//! queue in which they wait their turn ([`queue`]).

mod accounts;
pub mod asuser;
pub mod call;
pub mod conf;
pub mod customers;
pub mod database;
pub mod direct;
pub mod dump;
pub mod dump_text;
mod dump_text_mysql;
mod dump_text_pgsql;
mod dump_watch;
pub mod excludes;
pub mod import;
pub mod import_leftovers;
mod import_mysql;
mod import_mysql_keys;
mod import_mysql_look;
mod import_mysql_marker;
mod import_mysql_turn;
mod import_pgsql;
mod import_pgsql_attributes;
mod import_pgsql_keys;
mod import_pgsql_rights;
mod import_pgsql_table;
pub mod import_rehearsal;
pub mod import_trace;
pub mod inventory;
pub mod jobs;
mod keep;
pub mod layout;
mod mysql_maker;
pub mod named;
pub mod notify;
pub mod objects;
pub mod paths;
mod pgsql_extensions;
pub mod queue;
pub mod records;
pub mod select;
pub mod setting_edit;
pub mod setting_file;
pub mod setting_keys;
mod setting_place;
pub mod settings;
pub mod setup;
mod sql_lexer;
mod tarball_dump;
pub mod tarball_in;
pub mod tarball_out;
pub mod tarballs;
pub mod userlock;

pub use call::{Call, Caller, Outcome};
pub use inventory::{Inventory, User};
pub use layout::{Hestia, UserName};
pub use select::Sections;
pub use settings::{BackupMode, Settings};
