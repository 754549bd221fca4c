// SPDX-License-Identifier: MIT
//! Rank 3: the edges of file trees: where entries come from ([`source`]: a folder, a tar stream)
//! and where they go ([`sink`]). Never a repository.

pub mod build;
pub mod command;
pub mod deputy;
pub mod dir;
pub mod live;
pub mod pace;
pub mod select;
pub mod sink;
pub mod source;
pub mod stream;
pub mod tar_in;
pub(crate) mod tar_member;
pub mod tar_out;
pub mod tee;
pub mod walk;
pub mod zip_out;

pub use select::Selection;
pub use sink::Sink;
pub use source::{Content, Entry, Source};
pub use walk::{Walk, WalkOptions};
